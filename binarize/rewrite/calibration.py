"""Calibration of a converted model: thresholds, shifts and scales of its binary inputs, from images.

Real images are the better ones. Without any, standard-normal noise goes through the model; training
calibrates again on its first batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from binarize.data import sample_images
from binarize.errors import DataError
from binarize.layers import Calibration, calibrate
from binarize.rewrite.subject import Subject
from binarize.run import Preprocess

IMAGES = 32
BATCH = 16
NOISE = "standard-normal images"


@dataclass(frozen=True)
class CalibrationImages:
    """Which images: `count` of the folder or tar `dir`, or of seeded noise where that is None."""

    dir: Path | None = None
    count: int = IMAGES


@dataclass(frozen=True)
class Calibrated:
    """What a conversion was calibrated on.

    Attributes:
        images: how many.
        source: the folder, or `NOISE`.
        saturated: layer name -> share of the commoner value of its binary input, where it is over 95 %.
    """

    images: int
    source: str
    saturated: dict[str, float]

    @property
    def words(self) -> str:
        """One sentence for the user."""
        if self.source == NOISE:
            return (
                f"calibrated on {self.images} {NOISE}, as no --calib-data was given; "
                "train calibrates again on its first batches"
            )
        return f"calibrated on {self.images} images of {self.source}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def calibrate_subject(
    subject: Subject, preprocess: Preprocess, wanted: CalibrationImages
) -> Calibrated:
    """Calibrate the binary inputs of a converted model in eval mode, as it is used.

    `preprocess` is the run's: images come to the network as they will later. Raises DataError for a
    folder without images, and where the network does not take RGB images.
    """
    module = subject.module
    modes = {child: child.training for child in module.modules()}
    try:
        result = calibrate(module.eval(), _batches(subject, preprocess, wanted))
    finally:
        for child, training in modes.items():
            child.training = training
    source = NOISE if wanted.dir is None else str(wanted.dir)
    return Calibrated(result.images, source, _saturated(result, subject.part))


def _saturated(result: Calibration, part: str) -> dict[str, float]:
    prefix = f"{part}." if part else ""
    return {f"{prefix}{name}": round(share, 4) for name, share in result.saturated.items()}


def _batches(
    subject: Subject, preprocess: Preprocess, wanted: CalibrationImages
) -> Iterator[Tensor]:
    """Small batches, on the model's device and in its type."""
    like = next(p for p in subject.module.parameters() if p.is_floating_point())
    if wanted.dir is None:
        batches = _noise(subject, wanted.count)
    else:
        batches = _images(subject, preprocess, wanted.dir, wanted.count)
    for batch in batches:
        yield batch.to(like)


def _noise(subject: Subject, count: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    for start in range(0, count, BATCH):
        yield torch.randn(min(BATCH, count - start), *subject.size, generator=generator)


def _images(subject: Subject, preprocess: Preprocess, folder: Path, count: int) -> Iterator[Tensor]:
    if len(subject.size) != 3 or subject.size[0] != 3:
        shape = "x".join(map(str, subject.size))
        raise DataError(
            f"the model takes {shape}, and --calib-data has RGB images",
            "omit --calib-data: it is calibrated on noise then",
        )
    images = sample_images(folder, count, preprocess)
    for start in range(0, len(images), BATCH):
        numbers = range(start, min(start + BATCH, len(images)))
        yield torch.stack([images[number][0] for number in numbers])
