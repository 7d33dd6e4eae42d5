"""The file that was written, loaded in stock onnxruntime and compared with the torch model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from binarize import data
from binarize.errors import DataError, ExportError
from binarize.export.subject import Subject
from binarize.recipe import Data
from binarize.runtime import open_session

TOLERANCE = 1e-4
"""Of the largest |logit|: what rounding in another order may amount to."""
IMAGES = 32
BATCHES = (1, 3)
"""Sizes of the first batches: the two that a baked-in batch size would trip over."""


@dataclass(frozen=True)
class Images:
    """float32[N, C, H, W], and in words what they are."""

    pixels: Tensor
    words: str

    def batches(self) -> Iterator[Tensor]:
        """One image, three images, and the rest at once."""
        rest = len(self.pixels) - sum(BATCHES)
        return iter(self.pixels.split([*BATCHES, *([rest] if rest else [])]))


@dataclass(frozen=True)
class Validation:
    """How far a file is from the torch model.

    Attributes:
        images: how many were compared.
        validated_on: what they were, in words.
        max_abs_diff: largest |onnx - torch| over all logits.
        max_abs_logit: largest |torch|.
        top1_agreement: percentage of images with the same most likely class.
    """

    images: int
    validated_on: str
    max_abs_diff: float
    max_abs_logit: float
    top1_agreement: float

    @property
    def passed(self) -> bool:
        return self.max_abs_diff <= TOLERANCE * self.max_abs_logit


def images_for(subject: Subject) -> Images:
    """Test images of the data that the subject was trained on where it is at hand, else seeded noise."""
    try:
        pixels = _test_images(subject)
    except (DataError, OSError):
        pixels = None
    if pixels is not None and len(pixels) >= sum(BATCHES) and pixels.shape[1:] == subject.size:
        return Images(pixels, f"{len(pixels)} test images of {subject.info.data['name']}")
    noise = torch.randn(sum(BATCHES), *subject.size, generator=torch.Generator().manual_seed(0))
    return Images(noise, "4 images of seeded noise")


@torch.no_grad()
def validate(path: Path, model: nn.Module, images: Images) -> Validation:
    """Compare the file with `model` in eval mode. Raises ExportError where onnxruntime refuses it."""
    session = open_session(path)
    expected, given = [], []
    for batch in images.batches():
        output = model(batch)
        expected.append(output[0] if isinstance(output, (tuple, list)) else output)
        given.append(torch.from_numpy(session.logits(batch.numpy())))
    torch_logits, onnx_logits = torch.cat(expected).float(), torch.cat(given)
    if torch_logits.shape != onnx_logits.shape:
        raise ExportError(
            f"the file answers with {list(onnx_logits.shape)} where the model answers with "
            f"{list(torch_logits.shape)}",
            "this is a defect of binarize: please report the model's name",
        )
    same = (torch_logits.flatten(1).argmax(1) == onnx_logits.flatten(1).argmax(1)).double().mean()
    return Validation(
        images=len(images.pixels),
        validated_on=images.words,
        max_abs_diff=(onnx_logits - torch_logits).abs().max().item(),
        max_abs_logit=torch_logits.abs().max().item(),
        top1_agreement=100.0 * same.item(),
    )


def _test_images(subject: Subject) -> Tensor | None:
    """The first images of the test set, spread over it, or None where looking would mean a download."""
    name, place = subject.info.data.get("name"), subject.info.data.get("dir")
    if not name or not (name == "digits" or (place and Path(place).exists())):
        return None
    config = Data(name=name, dir=place, batch_size=IMAGES, workers=0)
    known = subject.info.classes or None
    loader = data.test_loader(config, subject.info.preprocess, IMAGES, known)
    return torch.cat([pixels for pixels, _ in loader])
