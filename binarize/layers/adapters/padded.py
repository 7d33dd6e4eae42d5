"""Convolutions that pad their input themselves, as TensorFlow's "same" padding asks for.

The padding has to come after the input was made binary: a padded position contributes 0, and neither
-1 nor what a threshold would make of 0.
"""

from __future__ import annotations

from typing import Any

from timm.layers import Conv2dSame, pad_same
from torch import Tensor, nn
from torch.nn import functional as F

from binarize.layers.adapters.base import Adapter
from binarize.layers.product import BinaryWeight

NONE = (0, 0)


class PaddedAdapter(Adapter[Conv2dSame]):
    """timm's Conv2dSame."""

    def methods(self, cls: type[Conv2dSame]) -> dict[str, Any]:
        def forward(module: Conv2dSame, x: Tensor) -> Tensor:
            weight = module.weight
            if not isinstance(weight, BinaryWeight):
                return cls.forward(module, x)
            return convolve(module, weight, x, same=True)

        return {"forward": forward}


def convolve(module: nn.Conv2d, weight: Tensor | BinaryWeight, x: Tensor, same: bool) -> Tensor:
    """The convolution of `module` with that weight; `same`: its padding is TensorFlow's."""

    def padded(x: Tensor) -> Tensor:
        if not same:
            return x
        size, stride, dilation = module.kernel_size, module.stride, module.dilation
        return pad_same(x, size, stride, dilation)  # type: ignore[arg-type]  # annotated for TorchScript

    def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        padding = NONE if same else module.padding
        return F.conv2d(
            padded(x), weight, bias, module.stride, padding, module.dilation, module.groups
        )

    if isinstance(weight, BinaryWeight):
        return weight.multiply(product, x, module.bias, -3)
    return product(x, weight, module.bias)
