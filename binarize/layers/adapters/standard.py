"""Convolutions that standardise their weight before use (weight standardisation, arXiv 1903.10520; NF-ResNet,
arXiv 2101.08692): standardise, then sign; the class's learned gain goes into the scale.

    w_std = (w - mean)/sqrt(var + eps) per output channel      what the float class convolves with
    w_b   = gain·s·sign(z(w_std))                              gain = 1 where the class has none

The layer's forward is then that of the plain convolution: its weight is standardised when it is read.
"""

from __future__ import annotations

from typing import Any

from timm.layers import ScaledStdConv2d, StdConv2d
from torch import Tensor, nn
from torch.nn import functional as F

from binarize.layers.adapters.base import Adapter
from binarize.layers.adapters.padded import convolve

Standardising = StdConv2d | ScaledStdConv2d


class StandardAdapter(Adapter[Standardising]):
    """timm's StdConv2d and ScaledStdConv2d, and those of them with "same" padding."""

    transforms = True

    def methods(self, cls: type[Standardising]) -> dict[str, Any]:
        def forward(module: nn.Conv2d, x: Tensor) -> Tensor:
            same = getattr(module, "same_pad", False)
            return convolve(module, module.weight, x, same)

        return {"forward": forward}

    def weight(self, module: Standardising, latent: Tensor) -> tuple[Tensor, Tensor | None]:
        flat = latent.reshape(1, len(latent), -1)
        standard = F.batch_norm(flat, None, None, training=True, momentum=0.0, eps=module.eps)
        gain = module.gain * module.scale if isinstance(module, ScaledStdConv2d) else None
        return standard.reshape_as(latent), gain

    def prepare_export(self, module: Standardising) -> None:
        """Standardise a float weight once and for all; the graph would do it for every image."""
        if hasattr(type(module), "_float_class"):  # binary, or frozen
            return
        weight, gain = self.weight(module, module.weight.detach())
        module._parameters["weight"] = nn.Parameter(weight if gain is None else weight * gain)
        cls = type(module)
        module.__class__ = type(f"Standardised{cls.__name__}", (cls,), self.methods(cls))
