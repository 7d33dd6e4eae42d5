"""Text on pages."""

from __future__ import annotations

from jinja2 import DictLoader, Environment

from binarize.reporting import page


def test_control_characters_are_shown(tmp_path, monkeypatch) -> None:
    loader = DictLoader({"x.html": "<p>{{ name }}\n</p>"})
    monkeypatch.setattr(page, "environment", lambda: Environment(loader=loader, autoescape=True))
    page.write_page(tmp_path / "x", "x.html", name="a\x1b[31m<b>\u202ec")
    assert (tmp_path / "x").read_text() == "<p>a\\x1b[31m&lt;b&gt;\\u202ec\n</p>\n"
