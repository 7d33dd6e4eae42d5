"""Whether a page needs anything from elsewhere, asked of a parser and not of the eye."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class _Addresses(HTMLParser):
    """Collects what a browser would fetch or run, and every id."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            outside = name in ("src", "srcset", "data", "poster", "action", "xlink:href")
            if outside and value.startswith("data:image/jpeg;base64,"):
                continue
            if outside or (name == "href" and not value.startswith("#")):
                self.fetched.append(value)


def check(page: str) -> None:
    """Assert that `page` is whole by itself, and that its ids are different from each other."""
    addresses = _Addresses()
    addresses.feed(page)
    assert addresses.fetched == []
    assert not {"script", "link", "iframe", "object", "embed"} & set(addresses.tags)
    assert not re.search(r"https?://|url\((?!#)|@import|@font-face", page)
    assert len(addresses.ids) == len(set(addresses.ids))
    used = set(re.findall(r'url\(#([^)"]+)\)|href="#([^"]+)"', page))
    assert {a or b for a, b in used} <= set(addresses.ids)
