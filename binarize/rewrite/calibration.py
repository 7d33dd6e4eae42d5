"""Calibration of a converted model: thresholds, shifts and scales of its binary inputs, from images.

Real images are the better ones. Without any, standard-normal noise goes through the model; training
calibrates again on its first batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from binarize.data import sample_images
from binarize.errors import DataError
from binarize.layers import Calibration, calibrate
from binarize.progress import Progress
from binarize.rewrite.model_part import ModelPart
from binarize.run import Preprocess

IMAGES = 32
BATCH = 16
NOISE = "standard-normal images"


@dataclass(frozen=True)
class CalibrationImages:
    """Which images: `count` of the folder or tar `dir`, or of seeded noise where that is None.

    Attributes:
        read: images [C, H, W] as the network takes them, where they were read already; `dir` says whence.
    """

    dir: Path | str | None = None
    count: int = IMAGES
    read: Sequence[Tensor] | None = None


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
    def description(self) -> str:
        """One sentence for the user."""
        if self.source == NOISE:
            return (
                f"calibrated on {self.images} {NOISE}, as no --calib-data was given; "
                "train calibrates again on its first batches"
            )
        return f"calibrated on {self.images} images of {self.source}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def calibrate_part(
    part: ModelPart,
    preprocess: Preprocess,
    wanted: CalibrationImages,
    progress: Progress | None = None,
) -> Calibrated:
    """Calibrate the binary inputs of a converted model in eval mode, as it is used.

    `preprocess` is the run's: images come to the network as they will later. Raises DataError for a
    folder without images, and where the network does not take RGB images.
    """
    module = part.module
    modes = {child: child.training for child in module.modules()}
    try:
        result = calibrate(
            module.eval(), _batches(part, preprocess, wanted, progress or Progress())
        )
    finally:
        for child, training in modes.items():
            child.training = training
    origin = NOISE if wanted.dir is None else str(wanted.dir)
    return Calibrated(result.images, origin, _imbalanced(result, part.submodule))


def _imbalanced(result: Calibration, submodule: str) -> dict[str, float]:
    prefix = f"{submodule}." if submodule else ""
    return {f"{prefix}{name}": round(share, 4) for name, share in result.imbalanced.items()}


def _batches(
    part: ModelPart, preprocess: Preprocess, wanted: CalibrationImages, progress: Progress
) -> Iterator[Tensor]:
    """Small batches, on the model's device and in its type."""
    like = next(p for p in part.module.parameters() if p.is_floating_point())
    batches: Iterator[Tensor]
    if wanted.read is not None:
        batches = map(torch.stack, map(list, _parts(wanted.read)))
    elif wanted.dir is None:
        batches = _noise(part, wanted.count)
    else:
        batches = _images(part, preprocess, Path(wanted.dir), wanted.count, progress)
    for batch in batches:
        yield batch.to(like)


def _parts(images: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]


def _noise(part: ModelPart, count: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    for start in range(0, count, BATCH):
        yield torch.randn(min(BATCH, count - start), *part.size, generator=generator)


def _images(
    part: ModelPart, preprocess: Preprocess, folder: Path, count: int, progress: Progress
) -> Iterator[Tensor]:
    if len(part.size) != 3 or part.size[0] != 3:
        shape = "x".join(map(str, part.size))
        raise DataError(
            f"the model takes {shape}, and --calib-data has RGB images",
            "omit --calib-data: it is calibrated on noise then",
        )
    images = sample_images(folder, count, preprocess, progress.say, progress=progress)
    for start in range(0, len(images), BATCH):
        numbers = range(start, min(start + BATCH, len(images)))
        yield torch.stack([images[number][0] for number in numbers])
