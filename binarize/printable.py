"""Text from a file or a name, as a terminal or a page may be given it."""

from __future__ import annotations

import re

LONGEST_WORD, LONGEST_MESSAGE = 600, 1900
"""Letters. Files bring names and errors of libraries of any length; paths are shorter."""
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def escaped(text: str) -> str:
    """`text` with control characters, and those that turn the direction of writing, as `\\x1b`; line ends and
    tabs stay."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def sentence(text: str) -> str:
    """`text` with every line but the first indented: a name with line ends in it begins no line, and so looks
    like no line of the program."""
    return re.sub("\n(?! )", "\n  ", text)


def shortened(text: str) -> str:
    """`text` without the middle of words, and of the whole, that are too long to be read."""
    words = re.sub(rf"\S{{{LONGEST_WORD + 1},}}", lambda found: _ends(found[0], LONGEST_WORD), text)
    return _ends(words, LONGEST_MESSAGE)


def _ends(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    end = longest // 4
    return f"{text[: longest - end - 1]}…{text[-end:]}"
