"""Sizes of files as people write them: "4MB" is 4,000,000 bytes, "4 MiB" 4,194,304."""

from __future__ import annotations

import re

from binarize.errors import BinarizeError

UNITS = {
    "": 1, "B": 1, "bytes": 1,
    "kB": 10**3, "MB": 10**6, "GB": 10**9,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip
_BY_LETTERS = {unit.lower(): count for unit, count in UNITS.items()}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?|\.\d{1,9})\s*([a-z]*)", re.ASCII | re.IGNORECASE)


def bytes_of(size: str | int) -> int:
    """The bytes that `size` means: a number of them, or with a unit of `UNITS`, in letters of either case.

    Raises BinarizeError for anything else, and for less than one byte.
    """
    if isinstance(size, int) and not isinstance(size, bool):
        count = size
    else:
        found = _SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
        unit = _BY_LETTERS.get(found[2].lower()) if found else None
        if found is None or unit is None:
            raise _wrong(size)
        count = int(float(found[1]) * unit)
    if count < 1:
        raise _wrong(size)
    return count


def words_of(count: int) -> str:
    """`3.61 MB (3,610,112 bytes)`."""
    for unit, factor in (("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.2f} {unit} ({count:,} bytes)"
    return f"{count:,} bytes"


def _wrong(size: object) -> BinarizeError:
    return BinarizeError(
        f'"{size}" is not the size of a file', "write a number and a unit: 4MB, 500kB or 3.5MiB"
    )
