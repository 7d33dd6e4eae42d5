"""The file that was written, loaded in onnxruntime and compared with the torch model.

(i)   max |diff| <= 1e-4 · max |logit|: "exact"
(ii)  else, for a model with binary inputs, flipped signs alone are why: "up to sign flips" (`disagreements`)
      and for one without, max |diff| <= 4 times what torch's float32 is off from its float64, and
      <= 1e-2 · max |logit|: "up to rounding" (`rounding`)
(iii) and a trained model has the same top-1 on 99.9 % of its test images

A file whose activations are rounded to 8 bits ("quantised") cannot pass (i) and (ii): its figures are
reported, and a trained model has to have the same top-1 on 99 % of its test images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from binarize.errors import ExportError
from binarize.exporting.disagreements import SignDisagreements, find_disagreements
from binarize.exporting.images import Images
from binarize.exporting.rounding import allowed, rounding
from binarize.layers import binary_inputs
from binarize.models import logits_of
from binarize.runtime import Session, open_session
from binarize.runtime.metadata import Parity

TOLERANCE = 1e-4
"""Of the largest |logit|: what rounding in another order may amount to."""
AGREEMENT = 99.9
"""Percentage of test images with the same top-1, of a trained model."""
AGREEMENT_8 = 99.0
"""The same, where activations are rounded to 8 bits."""
EXACT: Parity = "exact"
FLIPPED: Parity = "up to sign flips"
ROUNDED: Parity = "up to rounding"
QUANTISED: Parity = "quantised"


@dataclass(frozen=True)
class Validation:
    """How far a file is from the torch model.

    Attributes:
        images: how many were compared.
        validated_on: what they were, in words.
        max_abs_diff: largest |onnx - torch| over all logits.
        max_abs_logit: largest |torch|.
        top1_agreement: percentage of images with the same most likely class.
        trained: the images are test images of the data that the model was trained on.
        why: what a larger difference of a model with binary inputs was traced to; None where that was
            not asked.
        own_rounding: largest |float32 - float64| of a model without binary inputs, over the largest
            |logit|; None where that was not asked, or the model cannot compute in float64.
        quantised: activations of the file are rounded to 8 bits, so that it need not be equal.
    """

    images: int
    validated_on: str
    max_abs_diff: float
    max_abs_logit: float
    top1_agreement: float
    trained: bool = False
    why: SignDisagreements | None = None
    own_rounding: float | None = None
    quantised: bool = False

    @property
    def parity(self) -> Parity | None:
        """ "exact", "up to sign flips", "up to rounding", "quantised", or None: the file is of another
        model."""
        if self.quantised:
            return QUANTISED
        if self.max_abs_diff <= TOLERANCE * self.max_abs_logit:
            return EXACT
        if self.why is not None:
            return FLIPPED if self.why.explain(TOLERANCE) else None
        return ROUNDED if self.max_abs_diff <= self.allowed * self.max_abs_logit else None

    @property
    def allowed(self) -> float:
        """Of the largest |logit|, where no sign can flip."""
        return allowed(TOLERANCE, self.own_rounding)

    @property
    def agrees(self) -> bool:
        """(iii): the top-1 of a trained model is the same often enough."""
        return not self.trained or self.top1_agreement >= self.agreement_allowed

    @property
    def agreement_allowed(self) -> float:
        """Percentage, of a trained model."""
        return AGREEMENT_8 if self.quantised else AGREEMENT

    @property
    def passed(self) -> bool:
        return self.parity is not None and self.agrees


@torch.no_grad()
def validate(
    path: Path,
    model: nn.Module,
    images: Images,
    more: Callable[[], Images] | None = None,
    *,
    surrogate: Callable[[], bytes] | None = None,
    kernels: bool = False,
    quantised: bool = False,
) -> Validation:
    """Compare the file with `model` in eval mode. Raises ExportError where onnxruntime refuses it.

    `more` gives more test images of the same set: they are asked where `images` are too few to tell
    99.9 % from less. `surrogate` makes the smooth surrogate of a file without functions, `quantised` files
    are rounded, `kernels` lets the binarize kernels compute what stock onnxruntime cannot.
    """
    session = open_session(path, kernels=kernels)
    expected, given = _answers(session, model, images)
    difference, largest = (given - expected).abs().max().item(), expected.abs().max().item()
    exact = quantised or difference <= TOLERANCE * largest
    why = own_rounding = None
    if not exact and any(True for _ in binary_inputs(model)):
        why = find_disagreements(path, model, images, surrogate, kernels)
    elif not exact:
        own_rounding = rounding(model, images.pixels)
    agreement = _agreement(expected, given)
    if images.of_test_set and agreement < AGREEMENT and more is not None:
        agreement = _agreement(*_answers(session, model, more()))
    return Validation(
        images=len(images.pixels),
        validated_on=images.description,
        max_abs_diff=difference,
        max_abs_logit=largest,
        top1_agreement=agreement,
        trained=images.of_test_set,
        why=why,
        own_rounding=own_rounding,
        quantised=quantised,
    )


@torch.no_grad()
def compare(one: nn.Module, other: nn.Module, images: Images) -> tuple[float, float]:
    """(largest difference of a logit, percentage of images with the same top-1) of two torch models."""
    first, second = (
        torch.cat([logits_of(model(batch)).float() for batch in images.batches()])
        for model in (one, other)
    )
    return (first - second).abs().max().item(), _agreement(first, second)


def _answers(session: Session, model: nn.Module, images: Images) -> tuple[Tensor, Tensor]:
    """(torch's, onnxruntime's) logits."""
    expected, given = [], []
    for batch in images.batches():
        expected.append(logits_of(model(batch)))
        given.append(torch.from_numpy(session.logits(batch.numpy())))
    torch_logits, onnx_logits = torch.cat(expected).float(), torch.cat(given)
    if torch_logits.shape != onnx_logits.shape:
        raise ExportError(
            f"the file answers with {list(onnx_logits.shape)} where the model answers with "
            f"{list(torch_logits.shape)}",
            "this is a defect of binarize: please report the model's name",
        )
    return torch_logits, onnx_logits


def _agreement(expected: Tensor, given: Tensor) -> float:
    one, other = (logits.reshape(len(logits), -1).argmax(1) for logits in (expected, given))
    same = one == other
    return 100.0 * same.double().mean().item()
