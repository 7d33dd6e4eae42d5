"""Sizes of files as people write them."""

from __future__ import annotations

import pytest

from binarize.errors import BinarizeError
from binarize.filesize import bytes_of, words_of


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("4MB", 4_000_000),
        ("4 MB", 4_000_000),
        ("3.5MiB", 3_670_016),
        ("500kb", 500_000),
        ("2KiB", 2048),
        (".5GB", 500_000_000),
        ("123", 123),
        ("123 bytes", 123),
        ("7b", 7),
        (1234, 1234),
    ],
)
def test_what_is_a_size(written, count):
    assert bytes_of(written) == count


WORDS = ["", "MB", "4XB", "-4MB", "4,5MB", "1e9", "nan", "inf", "0", "0.0MB", ".1", "٤MB"]


@pytest.mark.parametrize("written", [*WORDS, 0, -1, True, 1.5, None])
def test_what_is_none(written):
    with pytest.raises(BinarizeError, match="is not the size of a file") as caught:
        bytes_of(written)
    assert "4MB" in caught.value.hint


def test_words():
    assert words_of(999) == "999 bytes"
    assert words_of(91_140) == "91.14 kB (91,140 bytes)"
    assert words_of(3_610_112) == "3.61 MB (3,610,112 bytes)"
