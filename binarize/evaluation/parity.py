"""Parity: whether two predictors say the same of the same images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Parity:
    """How far `other` is from `first`.

    Attributes:
        max_abs_diff: largest |other - first| over all images and classes.
        max_abs_logit: largest |first|, which says whether that is much.
        top1_agreement: percentage of images whose largest logit is of the same class.
    """

    max_abs_diff: float
    max_abs_logit: float
    top1_agreement: float


def compare(first: Tensor, other: Tensor) -> Parity:
    """Parity of two logits [images, classes] of the same images in the same order."""
    same = (first.argmax(1) == other.argmax(1)).double().mean().item()
    return Parity(
        (other - first).abs().max().item(),
        first.abs().max().item(),
        100.0 * same,
    )
