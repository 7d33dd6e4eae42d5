"""The images that a network is fitted on: of a folder, a tar, or what the caller's own loader yields."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from binarize.choices import OnError
from binarize.data import Images, sample_images
from binarize.errors import DataError
from binarize.progress import Progress
from binarize.rewrite import CalibrationImages
from binarize.run import Preprocess

HELD_ASIDE = 256
"""Images, at most, that the fit is judged by, on top of those that it is made on."""
SMALLEST_SHARE = 8
"""Where there are not so many, one in so many of all images is held aside."""
CALIBRATED = 32
"""Images that thresholds and shifts of binary inputs are set by."""
LARGEST = 1 << 30
"""Bytes of images that are kept in memory; more are decoded each time."""
THE_CALLERS = "the images given"

Size = tuple[int, ...]
CalibrationData = str | Path | Iterable[Any]
"""A folder with or without class folders, a tar, a DataLoader, or any iterable of batches: tensors
[N, C, H, W] as the network takes them, alone or first in a tuple or list. Labels are never read."""


class Pictures(Protocol):
    """Anything with a length whose items are images [C, H, W]."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Tensor: ...


@dataclass(frozen=True)
class FitImages:
    """What a network is fitted on, and what the fit is judged by.

    Attributes:
        fitted, held_aside: images [C, H, W] as the network takes them.
        source: where they come from, in words.
    """

    fitted: Pictures
    held_aside: Pictures
    source: str

    def spread(self, count: int) -> list[Tensor]:
        """So many of the fitted ones, or all, spread evenly over them."""
        count = min(count, len(self.fitted))
        numbers = torch.linspace(0, len(self.fitted) - 1, count).round().long()
        return [self.fitted[number] for number in numbers.tolist()]


def read_images(
    data: CalibrationData,
    count: int,
    preprocess: Preprocess,
    size: Size,
    say: Any,
    *,
    on_error: OnError = "stop",
    progress: Progress | None = None,
) -> FitImages:
    """`count` images to fit on, or as many as there are, and up to `HELD_ASIDE` others.

    Those of a folder are spread evenly over it; of an iterable they are the first ones. `say` is told what
    was passed over in a folder; `on_error` and `progress` are those of `sample_images`.

    Raises DataError where there are none, or they are not of `size`.
    """
    if isinstance(data, (str, Path)):
        images: Pictures = _Decoded(
            sample_images(
                Path(data),
                count + HELD_ASIDE,
                preprocess,
                say,
                on_error=on_error,
                progress=progress,
            ),
            size,
        )
        source = str(data)
    else:
        images, source = _collected(data, count + HELD_ASIDE), THE_CALLERS
    found = tuple(images[0].shape)
    if found != size:
        raise DataError(
            f"the network takes images of {_words(size)}, and those of {source} have {_words(found)}",
            "give images as the network takes them"
            + ("" if source == THE_CALLERS else ", in Python as batches: calib_data=[batch, …]"),
        )
    return split(images, count, source)


def calibration_images(images: FitImages) -> CalibrationImages:
    """What binary inputs are calibrated on before the fit: some of the images, spread over all."""
    some = images.spread(CALIBRATED)
    return CalibrationImages(images.source, len(some), some)


def split(images: Pictures, count: int, source: str) -> FitImages:
    """Every so-many-th image is held aside, so that both halves come from everywhere."""
    aside = min(HELD_ASIDE, max(len(images) - count, len(images) // SMALLEST_SHARE))
    if aside == 0:
        return FitImages(images, (), source)
    numbers = torch.linspace(0, len(images) - 1, aside).round().long().tolist()
    chosen = set(numbers)
    rest = [number for number in range(len(images)) if number not in chosen]
    return FitImages(_Part(images, rest), _Part(images, numbers), source)


def batches(
    images: Pictures, size: int, order: Sequence[int] | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """(numbers [N], images [N, C, H, W]) in `order`, by default their own."""
    order = range(len(images)) if order is None else order
    for start in range(0, len(order), size):
        numbers = order[start : start + size]
        yield torch.tensor(numbers), torch.stack([images[number] for number in numbers])


class _Part:
    """Some of the images."""

    def __init__(self, images: Pictures, numbers: Sequence[int]) -> None:
        self._images, self._numbers = images, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, number: int) -> Tensor:
        return self._images[self._numbers[number]]


class _Decoded:
    """Images of files, each decoded once where all of them fit into memory."""

    def __init__(self, images: Images, size: Size) -> None:
        self._images = images
        small = len(images) * 4 * math.prod(size) <= LARGEST
        self._kept: dict[int, Tensor] | None = {} if small else None

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int) -> Tensor:
        if self._kept is not None and number in self._kept:
            return self._kept[number]
        image: Tensor = self._images[number][0]
        if self._kept is not None:
            self._kept[number] = image
        return image


def _collected(data: Iterable[Any], count: int) -> list[Tensor]:
    images: list[Tensor] = []
    for batch in data:
        found = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
        if not isinstance(found, Tensor) or found.ndim < 2 or not found.is_floating_point():
            what = (
                f"{found.dtype} {list(found.shape)}"
                if isinstance(found, Tensor)
                else type(found).__name__
            )
            raise DataError(
                f"calib_data yields {what}, and a batch of images is a float tensor [N, C, H, W]",
                "have it yield such tensors, normalised as the network takes them, or tuples with one first",
            )
        images += found.detach().cpu().unbind()
        if len(images) >= count:
            return images[:count]
    if not images:
        raise DataError("calib_data yields no images", "give a folder, or batches [N, C, H, W]")
    return images


def _words(size: Size) -> str:
    return "x".join(map(str, size))
