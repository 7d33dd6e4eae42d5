"""What a binary layer multiplies: a stand-in for its weight that binarizes the other factor as well.

The `weight` of a layer with a binary input reads as a `BinaryWeight`. It is no tensor, but torch lets it
stand where a weight is expected (`__torch_function__`), whoever does the multiplication: the layer's own
forward, or a parent that calls `F.linear(x, self.qkv.weight)`. The product it answers with is exact:

    y = f(b, ±1)·(s_w·s_a) + bias        f: conv or linear without bias; b: {0, 1} or ±1

f adds up integers (exactly, in float32, up to 2^24 of them), so torch, onnxruntime and kernels agree in
every bit before the scale, in whichever order they add.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from binarize.layers.activation import along

CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
PRODUCTS = {
    **{function: function for function in (*CONVOLUTIONS, F.linear)},
    **{getattr(torch.ops.aten, f.__name__).default: f for f in (*CONVOLUTIONS, F.linear)},
}
"""What multiplies by a weight, also as modules of torch.export call it, and the function of that meaning."""
CASTS = ("to", "float", "type", "type_as", "contiguous", "clone")

Product = Callable[[Tensor, Tensor], Tensor]
"""(binary input, signs) -> their product, without a bias."""


class BinaryWeight:
    """The weight of a layer with a binary input.

    Anything but a product sees the plain weight: its shape, type, slices.

    Args:
        plain: the weight ±s (or the latent weight while weights are float), made when it is asked for.
        multiply: (f, x, bias, axis of the output channels) -> y as above.
    """

    def __init__(
        self,
        plain: Callable[[], Tensor],
        multiply: Callable[[Product, Tensor, Tensor | None, int], Tensor],
    ) -> None:
        self._plain = plain
        self.multiply = multiply

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if function in PRODUCTS and _weight(args, kwargs, cls) is not None:
            return _product(PRODUCTS[function], list(args), kwargs, cls)
        plain = [arg._plain() if isinstance(arg, cls) else arg for arg in args]
        return function(
            *plain, **{k: v._plain() if isinstance(v, cls) else v for k, v in kwargs.items()}
        )

    def __getattr__(self, name: str) -> Any:
        if name in CASTS:  # a product follows: `F.linear(x, weight.to(x.dtype))`
            return lambda *args, **kwargs: self
        return getattr(self._plain(), name)

    def __getitem__(self, index: Any) -> Tensor:
        return self._plain()[index]


def _weight(args: Any, kwargs: dict[str, Any], cls: type) -> Any:
    weight = args[1] if len(args) > 1 else kwargs.get("weight")
    return weight if isinstance(weight, cls) else None


def _product(
    function: Callable[..., Tensor], args: list[Any], kwargs: dict[str, Any], cls: type
) -> Tensor:
    """`function(x, weight, bias, …)` with its bias taken out."""
    x = args.pop(0) if args else kwargs.pop("input")
    weight = args.pop(0) if args else kwargs.pop("weight")
    bias = args.pop(0) if args else kwargs.pop("bias", None)
    axis = -1 if function is F.linear else -(x_dims(function) + 1)

    def product(b: Tensor, signs: Tensor) -> Tensor:
        return function(b, signs, None, *args, **kwargs)

    return weight.multiply(product, x, bias, axis)


def x_dims(function: Callable[..., Tensor]) -> int:
    """Spatial dimensions of a convolution."""
    return CONVOLUTIONS.index(function) + 1


def scaled(y: Tensor, scale: Tensor, axis: int) -> Tensor:
    """y·scale, the scale [O] along `axis`."""
    return y * along(scale, y.ndim, axis).to(y.dtype)


def biased(y: Tensor, bias: Tensor | None, axis: int) -> Tensor:
    """y + bias, the bias [O], if there is one, along `axis`."""
    return y if bias is None else y + along(bias, y.ndim, axis).to(y.dtype)
