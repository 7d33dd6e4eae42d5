"""A binary weight: what stands where a layer's float weight stood.

    mu, sigma = mean and standard deviation of the latent weight w per output channel
    z   = (w - mu)/(sigma + 1e-8)      standardised (not where the fan-in is below 2: z = w, mu = 0)
    w_b = s·sign(z)                    s: mean |w - mu| per output channel, or what `layers.scale` has
                                       several bases: sum s_k·b_k, see `layers.bases`

The gradient reaches w through z whole, mu and sigma included (Libra parameter binarization of
IR-Net, arXiv 1909.10788).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from binarize.estimators import Estimator, sign, widened
from binarize.layers.activation import InputBinarizer
from binarize.layers.added import AddedModule
from binarize.layers.bases import residuals
from binarize.layers.fused import (
    EPSILON,
    BinarizeConfig,
    binary_weight,
    centred,
    deviation,
    is_standardised,
)
from binarize.layers.product import BinaryWeight, Product, biased, scaled
from binarize.layers.scale import NONE, Scale
from binarize.layers.scale import get as scale_of

SCALE = "learned_scale"


class WeightBinarizer(AddedModule):
    """Latent weight -> binary weight, both [out, ...]; a child of the layer that owns the weight.

    Statistics, surrogate gradient and scale are computed in float32 where the latent weight is
    narrower; what comes out has the latent weight's dtype.

    Parameters that training learns beside the latent weight, if there are any: those of the estimator,
    0-d, under the names that it gives them, and `learned_scale` [out]. A checkpoint without them loads
    all the same, and the scale then begins again from the weights that were loaded.

    Attributes:
        inputs: what makes the layer's input binary too, or None.
        progress: share of training done, 0 to 1; set by `set_progress` at every optimiser step.
    """

    role = "weights"
    learned_scale: nn.Parameter | None

    def __init__(self, estimator: Estimator, scale: Scale, standardise: bool = True) -> None:
        super().__init__()
        self.scale = scale
        self.standardise = standardise
        self.progress = 0.0
        self.inputs: InputBinarizer | None = None
        self.register_parameter(SCALE, None)
        self._scale_is_set = False
        self._names: tuple[str, ...] = ()
        self._device = torch.empty(0).device
        self.use(estimator)

    def use(self, estimator: Estimator) -> None:
        """Learn with that estimator from now on. The parameters of the one before go, and those of the
        new one begin at its first values: an optimiser is to be made after this, not before."""
        for name in self._names:
            del self._parameters[name]
        self.estimator = estimator
        first = estimator.learned()
        self._names = tuple(first)
        for name, value in first.items():
            self.register_parameter(name, nn.Parameter(torch.tensor(value, device=self._device)))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> WeightBinarizer:
        """What is behind `to`: a binarizer without parameters has to remember where it went."""
        self._device = fn(torch.empty(0, device=self._device)).device
        return super()._apply(fn, recurse)

    @property
    def bases(self) -> int:
        """How many binary weights add up to the layer's."""
        return self.scale.bases

    @property
    def learned(self) -> tuple[nn.Parameter, ...]:
        """The estimator's own parameters, in its order."""
        found = (self._parameters[name] for name in self._names)
        return tuple(parameter for parameter in found if parameter is not None)

    def use_bases(self, bases: int) -> None:
        """Be the sum of so many from now on. Raises BinarizeError where the scale cannot have several."""
        self.scale = scale_of(self.scale.name, bases)

    def own(self, z: Tensor) -> tuple[Tensor, ...]:
        """The layer's own values, as the estimator's `surrogate` and `surrogate_grad` take them after
        progress; z: all of its standardised weights."""
        return self.estimator.own(z, self.progress, [p.detach() for p in self.learned])

    @torch.no_grad()
    def attach(self, latent: Tensor) -> None:
        """Go to the device of the latent weight, and begin a learned scale at mean |w - mu|. Happens by
        itself in the first forward, which is too late for an optimiser that was made before."""
        self.to(latent.device)
        if not self.scale.learned:
            return
        w = widened(latent.detach())
        start = self.scale(centred(w, self.standardise)).reshape(-1).to(latent.dtype)
        if self.learned_scale is None:
            self.learned_scale = nn.Parameter(start)
        else:
            self.learned_scale.copy_(start)
        self._scale_is_set = True

    def forward(
        self, latent: Tensor, return_scale: bool = False, gain: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """gain·s·sign(z), or with `return_scale`, of one base, signs and scale: ([out, ...], [out, 1, ...]).

        `gain`, which broadcasts to [out, 1, ...], belongs to whatever calls, and so does its gradient.
        """
        if not self.enabled:
            return latent if gain is None else latent * gain
        factor = self._learned_factor(latent)
        if return_scale:
            return self._binary(latent, None, Scale(NONE)), self._scale(latent, factor)
        if factor is None:
            return self._binary(latent, gain, self.scale)
        return self._binary(latent, factor if gain is None else factor * gain, Scale(NONE))

    def _binary(self, latent: Tensor, gain: Tensor | None, scale: Scale) -> Tensor:
        config = BinarizeConfig(self.estimator, scale, self.standardise)
        return binary_weight(latent, gain, config, self.progress, *self.learned)

    def _scale(self, latent: Tensor, factor: Tensor | None) -> Tensor:
        return self.scale(self._centred(latent)) if factor is None else factor

    def _centred(self, latent: Tensor) -> Tensor:
        """w - mu, or w itself, in float32 or wider: what the signs are of."""
        return centred(widened(latent), self.standardise and self.bases == 1)

    def _learned_factor(self, latent: Tensor) -> Tensor | None:
        """A learned scale [out, 1, ...], in float32 or wider; None where it is not learned."""
        if not self.scale.learned:
            return None
        if not self._scale_is_set:
            self.attach(latent)
        assert self.learned_scale is not None
        theta = widened(self.learned_scale)
        size = torch.where(theta < 0, -theta, theta)  # |theta|, with a gradient at 0 too
        return size.reshape(-1, *[1] * (latent.ndim - 1))

    def standardised(self, latent: Tensor) -> list[Tensor]:
        """z of every base, each of the latent weight's shape."""
        found, scale = [], self._scale(latent, self._learned_factor(latent))
        for r in self._residuals(latent, scale):
            whole = is_standardised(r, self.standardise)
            found.append(r / (deviation(r) + EPSILON) if whole else r)
        return found

    def _residuals(self, latent: Tensor, scale: Tensor) -> Iterator[Tensor]:
        """What every base is the sign of: w - mu of one; of several, what those before it leave."""
        return residuals(self._centred(latent), scale if self.bases > 1 else [scale])

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
            # One multiplication of the weight instead of one of the output, or one product for all bases.
            if self.training or self.bases > 1:
                weight = self(latent, gain=scale if gain is None else gain * scale)
                return biased(product(b, weight), bias, axis)
            signs, weight_scale = self(latent, return_scale=True)
            factor = weight_scale if gain is None else weight_scale * gain
            y = scaled(product(b, signs), factor.reshape(-1) * scale, axis)
            return biased(y, bias, axis)

        binary = self.inputs is not None and self.inputs.enabled
        return BinaryWeight(plain, multiply) if binary else plain()

    @torch.no_grad()
    def frozen(self, latent: Tensor, gain: Tensor | None = None) -> FrozenWeight:
        """The signs and scales that the forward multiplies, kept apart."""
        scale = self._scale(latent, self._learned_factor(latent))
        positive = torch.stack([sign(r) > 0 for r in self._residuals(latent, scale)])
        if gain is not None:
            scale = scale * gain
        if self.inputs is not None:
            scale = scale * self.inputs.scale
        filters = (self.bases, len(latent)) if self.bases > 1 else (len(latent),)
        scale = scale.to(latent.dtype).flatten(len(filters) - 1).expand(filters).contiguous()
        return FrozenWeight(positive.reshape(*filters, *latent.shape[1:]), scale, self.inputs)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """What another estimator has learned is of no use to this one; a scale comes whole or not at all."""
        saved = state_dict.get(prefix + SCALE)
        if self.scale.learned and saved is not None and self.learned_scale is None:
            self.learned_scale = nn.Parameter(torch.empty_like(saved))
        self._scale_is_set = saved is not None
        unexpected: list[str] = []
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected, error_msgs
        )
        others = [
            key for key in unexpected if state_dict[key].ndim > 0 or "." in key[len(prefix) :]
        ]
        unexpected_keys += others

    def extra_repr(self) -> str:
        bases = f", bases={self.bases}" if self.bases > 1 else ""
        return f"{self.estimator}, scale={self.scale.name}, standardise={self.standardise}{bases}"


@dataclass(frozen=True)
class FrozenWeight:
    """What is left of a latent weight when training is over.

    Attributes:
        positive: bool[out, ...]; True where the sign is +1. Of several bases [bases, out, ...].
        scale: s, [out], in the latent weight's dtype; times that of the binary input, if there is one. Of
            several bases [bases, out].
        inputs: what makes the layer's input binary, or None.
    """

    positive: Tensor
    scale: Tensor
    inputs: InputBinarizer | None = None

    @property
    def bases(self) -> int:
        """How many binary weights add up to it."""
        return len(self.scale) if self.scale.ndim > 1 else 1

    @property
    def shape(self) -> torch.Size:
        """Of the weight: [out, ...]."""
        return self.positive.shape[self.scale.ndim - 1 :]

    @property
    def value(self) -> Tensor:
        """As a float tensor [out, ...]: ±s, or ±1 where the input is binary, of one base, and the scale comes
        after the sum; the sum of all bases where there are several."""
        if self.inputs is not None and self.bases == 1:
            return torch.where(self.positive, 1.0, -1.0).to(self.scale.dtype)
        scale = self.scale.reshape(*self.scale.shape, *[1] * (len(self.shape) - 1))
        signed = torch.where(self.positive, scale, -scale)
        return functools.reduce(torch.add, signed) if self.bases > 1 else signed


class FrozenProduct(nn.Module):
    """The product of a frozen weight with a binary input, as the exporter is to see it.

    Two nodes of domain `binarize` stand around the layer's own convolution or linear product: one named
    after the input binarizer's op, on (x, threshold | shift), and `Scale` on (y, scale, bias). They have
    no values, only shapes: a model that holds them is exported, not run.
    """

    boundary: Tensor
    scale: Tensor
    zeros: Tensor

    def __init__(self, frozen: FrozenWeight) -> None:
        super().__init__()
        assert frozen.inputs is not None
        self.op = frozen.inputs.op
        self.register_buffer("boundary", frozen.inputs.boundary.detach())
        self.register_buffer("scale", frozen.scale)
        self.register_buffer("zeros", frozen.scale.new_zeros(frozen.scale.shape[-1]))

    def read(self, signs: Tensor, gain: Tensor | None = None) -> BinaryWeight:
        """What the layer's `weight` means: `signs` is the parameter, ±1."""

        def multiply(product: Product, x: Tensor, bias: Tensor | None, axis: int) -> Tensor:
            y = product(_marked(self.op, x, self.boundary), signs)
            return _marked("Scale", y, self.scale, self.zeros if bias is None else bias)

        return BinaryWeight(lambda: signs, multiply)


def _marked(op: str, x: Tensor, *others: Tensor) -> Tensor:
    return torch.onnx.ops.symbolic(
        f"binarize::{op}", (x, *others), dtype=x.dtype, shape=x.shape, version=1
    )
