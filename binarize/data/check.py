"""A quick pass over the headers of images, before anything long begins.

A header tells whether a file is an image, of which kind and of what size. A file that was cut short is found
as well: an image whose end is not that of its format is decoded whole. So are all of them where what cannot
be read is to be left out, for damage in the middle of a file would stop what had begun.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

from binarize.choices import OnError
from binarize.data.decode import probe, why
from binarize.data.listing import ImageFile
from binarize.errors import DataError
from binarize.progress import Progress

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from binarize.data.splits import Source

PATIENCE = 2.0
"""Seconds before there is something to see."""
NAMED = 3
"""Images that an error names."""


class Files(Protocol):
    """Images in files."""

    source: Source
    files: list[ImageFile]

    def opened(self, index: int, /) -> AbstractContextManager[IO[bytes]]: ...


@dataclass(frozen=True)
class Sizes:
    """The smallest and the largest image, by their pixels: (height, width)."""

    smallest: tuple[int, int]
    largest: tuple[int, int]

    def __str__(self) -> str:
        small, large = (f"{height}x{width}" for height, width in (self.smallest, self.largest))
        return f"{small} pixels" if small == large else f"{small} to {large} pixels"


def check(
    files: Files, on_error: OnError, progress: Progress, whole: bool
) -> tuple[Sizes, dict[int, str]]:
    """The sizes of all images that can be read, and what is wrong with the others, by their numbers.

    `whole`: decode them, for what their headers do not tell. Raises DataError that names the first of those
    that cannot, unless `on_error` is "skip", and where none can be read.
    """
    sizes: dict[tuple[int, int], None] = {}
    bad: dict[int, str] = {}
    began, shown = time.monotonic(), False
    for number in range(len(files.files)):
        try:
            with files.opened(number) as file:
                sizes[probe(file, whole)] = None
        except (OSError, ValueError, MemoryError) as error:
            bad[number] = why(error)
        if not shown and time.monotonic() - began > PATIENCE:
            what = "the images" if whole else "the headers"
            progress.task(f"reading {what} of {files.source}", len(files.files), number)
            shown = True
        if shown:
            progress.update(number + 1)
    if bad and (on_error == "stop" or not sizes):
        raise _unreadable(files, bad)
    small = min(sizes, key=lambda side: (side[0] * side[1], side))
    return Sizes(small, max(sizes, key=lambda side: (side[0] * side[1], side))), bad


def _unreadable(files: Files, bad: dict[int, str]) -> DataError:
    named = [f"{files.files[number].path} ({reason})" for number, reason in bad.items()][:NAMED]
    more = f" and {len(bad) - NAMED:,} more" if len(bad) > NAMED else ""
    return DataError(
        f'{len(bad):,} of {len(files.files):,} images of "{files.source}" cannot be read: '
        f"{', '.join(named)}{more}",
        "replace them or take them away; --on-error skip, or data.on_error in a recipe, leaves them out",
    )
