"""The last layer, stored with fewer bits: in ResNet-18 it is more than half of the packed file.

    fp16    rounded to half precision
    int8    round(w / d), d = max |w| / 127 per row
    1bit    mean |w| · sign(w) per row, as the op that binary layers have

The weight of the torch model is rounded in the same way, so the parity gate still asks for equal numbers;
how far they are from those of the model as it was is reported beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from binarize import rewrite
from binarize.errors import ExportError
from binarize.layers import FrozenWeight
from binarize.rewrite import Trace

PLAIN = "float"
ONE_BIT = "1bit"


@dataclass(frozen=True)
class CompressedTensor:
    """A weight [O, ...] as it is stored.

    Attributes:
        elements: float16 or int8, of the weight's shape.
        scale: float32 [O, 1, ...] that int8 is multiplied by, or None.
    """

    elements: np.ndarray
    scale: np.ndarray | None = None

    @property
    def value(self) -> Tensor:
        """What the file makes of it, float32."""
        whole = self.elements.astype(np.float32)
        return torch.from_numpy(whole if self.scale is None else whole * self.scale)


def to_fp16(weight: Tensor) -> CompressedTensor:
    """fp16; what is too large for it stays the largest there is."""
    largest = torch.finfo(torch.float16).max
    return CompressedTensor(weight.clamp(-largest, largest).half().numpy())


def to_int8(weight: Tensor) -> CompressedTensor:
    """int8 with a scale per row."""
    rows = weight.abs().flatten(1).amax(1).reshape(-1, *[1] * (weight.ndim - 1))
    scale = torch.where(rows > 0, rows / 127, 1.0)
    return CompressedTensor((weight / scale).round().to(torch.int8).numpy(), scale.numpy())


def to_1bit(weight: Tensor) -> FrozenWeight:
    """Signs, and the mean |w| of each row."""
    return FrozenWeight(weight >= 0, weight.abs().flatten(1).mean(1))


CLASSIFIERS: dict[str, Callable[[Tensor], CompressedTensor | FrozenWeight] | None] = {
    PLAIN: None,
    "fp16": to_fp16,
    "int8": to_int8,
    ONE_BIT: to_1bit,
}
"""How the weight of the last layer may be stored; None: as it is."""


@dataclass(frozen=True)
class Classifier:
    """The last layer's weight, rounded.

    Attributes:
        key: its name in the state_dict.
        weight: as it is stored.
    """

    key: str
    weight: CompressedTensor | FrozenWeight

    def put_into(self, model: nn.Module) -> None:
        """Give `model` the rounded weight."""
        with torch.no_grad():
            model.get_parameter(self.key).copy_(self.weight.value)

    @property
    def frozen(self) -> dict[str, FrozenWeight]:
        """It, as a binary weight; or nothing."""
        return {self.key: self.weight} if isinstance(self.weight, FrozenWeight) else {}

    @property
    def stored(self) -> dict[str, CompressedTensor]:
        """It, as a tensor of fewer bits; or nothing."""
        return {self.key: self.weight} if isinstance(self.weight, CompressedTensor) else {}


def find_classifier(model: nn.Module, trace: Trace, kind: str) -> Classifier | None:
    """The classifier of a converted or float model, rounded to `kind`; None for "float".

    Raises ExportError where there is none whose weight could be rounded.
    """
    round_to = CLASSIFIERS[kind]
    if round_to is None:
        return None
    layer = rewrite.classifier(model, trace)
    parameters = dict(model.named_parameters())
    if layer is None or layer.parameter not in parameters:
        raise ExportError(
            f"this model has no last layer that could be stored as {kind}",
            "omit --classifier",
        )
    module, _, name = layer.parameter.rpartition(".")
    if not isinstance(getattr(model.get_submodule(module), name), nn.Parameter):
        raise ExportError(f'the last layer, "{layer.name}", is binary already', "omit --classifier")
    weight = parameters[layer.parameter].detach().float()
    return Classifier(layer.parameter, round_to(weight))
