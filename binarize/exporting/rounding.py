"""What rounding amounts to in a model: torch's float32 beside torch's float64.

Two correct programs that sum in another order differ by what each of them is off from the real numbers.
How much that is depends on the model: 1e-6 of the largest logit is usual, and a deep network with random
weights may amplify it a thousandfold. So where a file is further from the model than is usual, the model
is held against itself: `exact_copy` computes the same in float64.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from binarize.layers import WeightBinarizer
from binarize.models import copied, logits_of
from binarize.models.attributes import set_attribute

FACTOR = 4
"""How much further than float32 from float64 a file may be: it is off itself, by an order of its own."""
LARGEST = 1e-2
"""No rounding excuses more than this, whatever the model does to it."""


def allowed(usual: float, rounding: float | None) -> float:
    """The tolerance of a model whose own rounding is that; None: it is not known."""
    return usual if rounding is None else max(usual, min(FACTOR * rounding, LARGEST))


def exact_copy(model: nn.Module) -> nn.Module:
    """A copy that computes in float64, with the binary weights that the float32 model has: those whose
    latent weight is next to 0 must not change sides because a mean is rounded less."""
    exact = copied(model).double()
    for module in exact.modules():
        if isinstance(module, WeightBinarizer):
            _keep_float32(module)
    return exact


def in_float64(exact: nn.Module, images: Tensor) -> Tensor | None:
    """Logits of `exact_copy`, float64; None where the model cannot compute in it."""
    try:
        return logits_of(exact(images.double()))
    except (RuntimeError, TypeError):  # a cast to float32 in the model's own code
        return None


@torch.no_grad()
def rounding(model: nn.Module, images: Tensor) -> float | None:
    """Largest |float32 - float64| of the logits over the largest |float64|; None where the model cannot
    compute in float64."""
    logits = in_float64(exact_copy(model), images)
    return None if logits is None else relative(logits_of(model(images)), logits)


def relative(given: Tensor, expected: Tensor) -> float:
    """Largest |given - expected| over the largest |expected|."""
    return ((given.double() - expected).abs().max() / expected.abs().max()).item()


def _keep_float32(binarizer: WeightBinarizer) -> None:
    binarizer.float()
    if binarizer.inputs is not None:
        binarizer.inputs.double()
    set_attribute(binarizer, "forward", functools.partial(_forward, binarizer))


def _forward(
    binarizer: WeightBinarizer,
    latent: Tensor,
    return_scale: bool = False,
    gain: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    binary = type(binarizer).forward(binarizer, latent.float(), return_scale)
    if isinstance(binary, tuple):
        signs, scale = binary
        return signs.double(), scale.double()
    return binary.double() if gain is None else binary.double() * gain
