"""A binary weight: what stands where a layer's float weight stood.

    mu, sigma = mean and standard deviation of the latent weight w per output channel
    z   = (w - mu)/(sigma + 1e-8)      standardised (not where the fan-in is below 2: z = w, mu = 0)
    w_b = s·sign(z)                    s = mean |w - mu| per output channel, detached

The gradient reaches w through z whole, mu and sigma included (Libra parameter binarization of
IR-Net, arXiv 1909.10788).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from binarize.estimators import Estimator, sign, widened
from binarize.layers.activation import InputBinarizer
from binarize.layers.addition import Addition
from binarize.layers.product import BinaryWeight, Product, biased, scaled
from binarize.layers.scale import Scale

EPSILON = 1e-8


class WeightBinarizer(Addition):
    """Latent weight -> binary weight, both [out, ...]; a child of the layer that owns the weight.

    Statistics, surrogate gradient and scale are computed in float32 where the latent weight is
    narrower; what comes out has the latent weight's dtype.

    Attributes:
        inputs: what makes the layer's input binary too, or None.
        progress: share of training done, 0 to 1; set by `set_progress` at every optimiser step.
    """

    part = "weights"

    def __init__(self, estimator: Estimator, scale: Scale, standardise: bool = True) -> None:
        super().__init__()
        self.estimator = estimator
        self.scale = scale
        self.standardise = standardise
        self.progress = 0.0
        self.inputs: InputBinarizer | None = None

    def forward(self, latent: Tensor, apart: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """s·sign(z), or with `apart` signs and scale: ([out, ...], [out, 1, ...])."""
        if not self.enabled:
            return latent
        centred, standardised = self.standardised(latent)
        signs, scale = self.estimator(standardised, self.progress), self.scale(centred)
        if apart:
            return signs.to(latent.dtype), scale
        return (scale * signs).to(latent.dtype)

    def standardised(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """(w - mu, z), both of the latent weight's shape."""
        latent = widened(latent)
        if not self.standardise or latent[0].numel() < 2:
            return latent, latent
        dims = tuple(range(1, latent.ndim))
        centred = latent - latent.mean(dims, keepdim=True)
        return centred, centred / (centred.std(dims, keepdim=True) + EPSILON)

    def read(self, latent: Tensor, gain: Tensor | None = None) -> Tensor | BinaryWeight:
        """What the layer's `weight` means: gain·w_b, or where the input is binary too, its stand-in.

        `gain` [out, 1, ...] multiplies the weight, binary or not, and is learned by the layer itself.
        """

        def plain() -> Tensor:
            weight = self(latent)
            return weight if gain is None else weight * gain

        def multiply(product: Product, x: Tensor, bias: Tensor | None, axis: int) -> Tensor:
            assert self.inputs is not None
            b = self.inputs(x)
            scale = self.inputs.slowed_scale(x)
            if not self.enabled:
                return biased(product(b * scale.to(b.dtype), plain()), bias, axis)
            signs, weight_scale = self(latent, apart=True)
            factor = weight_scale if gain is None else weight_scale * gain
            if self.training:  # one multiplication of the weight instead of one of the output
                weight = (factor * scale * signs).to(signs.dtype)
                return biased(product(b, weight), bias, axis)
            y = scaled(product(b, signs), factor.reshape(-1) * scale, axis)
            return biased(y, bias, axis)

        binary = self.inputs is not None and self.inputs.enabled
        return BinaryWeight(plain, multiply) if binary else plain()

    @torch.no_grad()
    def frozen(self, latent: Tensor, gain: Tensor | None = None) -> FrozenWeight:
        """The signs and scales that the forward multiplies, kept apart."""
        centred, standardised = self.standardised(latent)
        scale = self.scale(centred)
        if gain is not None:
            scale = scale * gain
        if self.inputs is not None:
            scale = scale * self.inputs.scale
        scale = scale.to(latent.dtype).reshape(-1).expand(len(latent)).contiguous()
        return FrozenWeight(sign(standardised) > 0, scale, self.inputs)

    def extra_repr(self) -> str:
        return f"{self.estimator}, scale={self.scale.name}, standardise={self.standardise}"


@dataclass(frozen=True)
class FrozenWeight:
    """What is left of a latent weight when training is over.

    Attributes:
        positive: bool[out, ...]; True where the sign is +1.
        scale: s, [out], in the latent weight's dtype; times that of the binary input, if there is one.
        inputs: what makes the layer's input binary, or None.
    """

    positive: Tensor
    scale: Tensor
    inputs: InputBinarizer | None = None

    @property
    def value(self) -> Tensor:
        """As a float tensor: ±s, or ±1 where the input is binary and the scale comes after the sum."""
        if self.inputs is not None:
            return torch.where(self.positive, 1.0, -1.0).to(self.scale.dtype)
        scale = self.scale.reshape(-1, *[1] * (self.positive.ndim - 1))
        return torch.where(self.positive, scale, -scale)


class FrozenProduct(nn.Module):
    """The product of a frozen weight with a binary input, as the exporter is to see it.

    Two nodes of domain `binarize` stand around the layer's own convolution or linear product: one named
    after the input binarizer's op, on (x, threshold | shift), and `Scale` on (y, scale, bias). They have
    no values, only shapes: a model that holds them is exported, not run.
    """

    def __init__(self, frozen: FrozenWeight) -> None:
        super().__init__()
        assert frozen.inputs is not None
        self.op = frozen.inputs.op
        self.register_buffer("split", frozen.inputs.split.detach())
        self.register_buffer("scale", frozen.scale)
        self.register_buffer("zeros", torch.zeros_like(frozen.scale))

    def read(self, signs: Tensor, gain: Tensor | None = None) -> BinaryWeight:
        """What the layer's `weight` means: `signs` is the parameter, ±1."""

        def multiply(product: Product, x: Tensor, bias: Tensor | None, axis: int) -> Tensor:
            y = product(_marked(self.op, x, self.split), signs)
            return _marked("Scale", y, self.scale, self.zeros if bias is None else bias)

        return BinaryWeight(lambda: signs, multiply)


def _marked(op: str, x: Tensor, *others: Tensor) -> Tensor:
    return torch.onnx.ops.symbolic(
        f"binarize::{op}", (x, *others), dtype=x.dtype, shape=x.shape, version=1
    )
