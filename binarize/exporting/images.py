"""The images that a file is compared on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from binarize import data
from binarize.errors import DataError
from binarize.exporting.subject import Subject
from binarize.recipe import Data
from binarize.recipe.images import FILES

IMAGES = 32
MORE_IMAGES = 2000
"""Enough to tell 99.9 % from 99.8 %: asked where one of the first images has another top-1."""
CALIBRATION = 256
"""Training images that the ranges of activations are measured on."""
BATCHES = (1, 2, 3)
"""Sizes of the first batches: those that a baked-in batch size would trip over."""


@dataclass(frozen=True)
class Images:
    """float32[N, C, H, W].

    Attributes:
        pixels: of all of them.
        description: what they are.
        of_test_set: of the data that the model was trained on; else the model need not know them.
    """

    pixels: Tensor
    description: str
    of_test_set: bool = False

    def batches(self) -> Iterator[Tensor]:
        """One image, two, three, and the rest in batches of no more than `IMAGES`."""
        done = 0
        for size in itertools.chain(BATCHES, itertools.repeat(IMAGES)):
            if done >= len(self.pixels):
                return
            yield self.pixels[done : done + size]
            done += size


def images_for(subject: Subject, limit: int = IMAGES) -> Images:
    """Test images of the data that the subject was trained on where it is at hand, else seeded noise."""
    try:
        pixels = _test_images(subject, limit)
    except (DataError, OSError):
        pixels = None
    if pixels is not None and len(pixels) >= sum(BATCHES) and pixels.shape[1:] == subject.size:
        return Images(pixels, f"{len(pixels)} test images of {subject.info.data.name}", True)
    count = sum(BATCHES)
    noise = torch.randn(count, *subject.size, generator=torch.Generator().manual_seed(0))
    return Images(noise, f"{count} images of seeded noise")


def calibration_images(subject: Subject, limit: int = CALIBRATION) -> Images:
    """Training images of the subject's data where they are at hand, else seeded noise."""
    try:
        pixels = _training_images(subject, limit)
    except (DataError, OSError):
        pixels = None
    if pixels is not None and pixels.shape[1:] == subject.size:
        return Images(pixels, f"{len(pixels)} training images of {subject.info.data.name}")
    noise = torch.randn(IMAGES, *subject.size, generator=torch.Generator().manual_seed(1))
    return Images(noise, f"{IMAGES} images of seeded noise")


def _training_images(subject: Subject, limit: int) -> Tensor | None:
    """Spread over the training set, or None where looking would mean a download."""
    name, place = subject.info.data.name, subject.info.data.dir
    if name is None or not _at_hand(name, place):
        return None
    loader = data.plain_train_loader(_config(name, place), subject.info.preprocess, limit)
    return torch.cat([pixels for pixels, _ in loader])


def _config(name: str, place: str | None) -> Data:
    """Images whose labels nobody asks for: of a folder it does not matter whether there are any."""
    labels: Literal["auto", False] = False if name in FILES else "auto"
    return Data(name=name, dir=place, labels=labels, batch_size=IMAGES, workers=0)


def _at_hand(name: str, place: str | None) -> bool:
    return bool(name) and (name == "digits" or bool(place and Path(place).exists()))


def _test_images(subject: Subject, limit: int) -> Tensor | None:
    """The first images of the test set, spread over it, or None where looking would mean a download."""
    name, place = subject.info.data.name, subject.info.data.dir
    if name is None or not _at_hand(name, place):
        return None
    known = subject.info.classes or None
    loader = data.test_loader(
        _config(name, place), subject.info.preprocess, limit, known, download=False
    )
    return torch.cat([pixels for pixels, _ in loader])
