"""CondConv (arXiv 1904.04971): a convolution whose weight is mixed from experts, anew for each image.

    weight(image) = sum_e r_e(image)·W_e        W_e: an expert, binary; r: routing weights, float

Every expert is binarized by itself, per output channel. For export the sum is taken after the
convolutions instead, which is the same (they are linear) and has a graph that does not depend on the
batch: y = sum_e r_e·conv(x, W_e), with one packed weight an expert.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import CondConv2d, pad_same
from torch import Tensor, nn
from torch.nn import functional as F

from binarize.layers.adapters.base import Adapter
from binarize.layers.weight import FrozenWeight, WeightBinarizer

EXPERT = "expert{}"


class ExpertsAdapter(Adapter[CondConv2d]):
    """timm's CondConv2d, whose `weight` is [experts, weights of one]."""

    transforms = True
    binary_inputs = False
    why_not = "mixed from experts: its sums are no integers"

    def weight(self, module: CondConv2d, latent: Tensor) -> tuple[Tensor, None]:
        return self._one_by_one(module, latent), None

    def read(self, module: CondConv2d, binarizer: WeightBinarizer, latent: Tensor) -> Tensor:
        return binarizer(self._one_by_one(module, latent)).reshape_as(latent)

    def freeze(
        self, module: CondConv2d, parameter: str, binarizer: WeightBinarizer
    ) -> dict[str, FrozenWeight]:
        latent = module._parameters[parameter]
        assert latent is not None
        whole = binarizer.frozen(self._one_by_one(module, latent))
        outputs = whole.scale.ndim - 1  # behind the bases, where there are several
        split = zip(
            whole.positive.chunk(module.num_experts, outputs),
            whole.scale.chunk(module.num_experts, outputs),
            strict=True,
        )
        experts = [FrozenWeight(positive, scale) for positive, scale in split]
        _separate(module, [expert.value for expert in experts])
        return {EXPERT.format(n): expert for n, expert in enumerate(experts)}

    def prepare_export(self, module: CondConv2d) -> None:
        if "weight" in module._parameters:
            _separate(module, self._one_by_one(module, module.weight).chunk(module.num_experts))

    def _one_by_one(self, module: CondConv2d, latent: Tensor) -> Tensor:
        """[experts, n] -> [experts·out, in/groups, height, width]."""
        return latent.reshape(-1, *module.weight_shape[1:])


class _Separate(nn.Module):
    """The forward of a CondConv whose experts are parameters of their own."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    dynamic_padding: bool
    bias: nn.Parameter | None

    def forward(self, x: Tensor, routing_weights: Tensor) -> Tensor:
        padding = (0, 0) if self.dynamic_padding else self.padding
        if self.dynamic_padding:
            size, stride, dilation = self.kernel_size, self.stride, self.dilation
            x = pad_same(x, size, stride, dilation)  # type: ignore[arg-type]  # annotated for TorchScript
        total = None
        for number, share in enumerate(routing_weights.unbind(1)):
            weight = self._parameters[EXPERT.format(number)]
            assert weight is not None
            y = F.conv2d(x, weight, None, self.stride, padding, self.dilation, self.groups)
            y = y * share[:, None, None, None]
            total = y if total is None else total + y
        assert total is not None
        if self.bias is None:
            return total
        return total + torch.matmul(routing_weights, self.bias)[:, :, None, None]


def _separate(module: nn.Module, experts: Any) -> None:
    for number, weight in enumerate(experts):
        module.register_parameter(EXPERT.format(number), nn.Parameter(weight.detach()))
    del module._parameters["weight"]
    module._modules.pop("weight_binarizer", None)
    module.__class__ = type(f"Separate{type(module).__name__}", (_Separate,), {})
