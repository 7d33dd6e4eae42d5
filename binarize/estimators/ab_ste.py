"""AB-STE: a linear and a non-linear surrogate, blended as training proceeds. A reconstruction.

Source: Gupta & Kumar, "AB-STE", ECML-PKDD 2025, doi 10.1007/978-3-032-06066-2_8. Only its abstract
is public: it names the two estimators and says that each blends a linear component with a
non-linear function, adaptively. The equations below are this project's reconstruction from those
words, not the paper's; every constant is a field.

    f(x)  = (1 - a)·x + a·phi(x)             a = a_end·(1 - cos(p·pi/2))
    f'(x) = (1 - a) + a·phi'(x)              k = k_start·(k_end/k_start)^p

    phi_tanh(x)   = tanh(kx)/tanh(k)         phi_tanh'(x)   = k·(1 - tanh²(kx))/tanh(k)
    phi_arctan(x) = atan(kx)/atan(k)         phi_arctan'(x) = k/((1 + k²x²)·atan(k))

with p the progress in [0, 1]. At p = 0 this is the plain straight-through estimator; as a -> 1 and
k -> inf it becomes sign. Because phi(±1) = ±1, f is never further from sign than the identity is.
Without `clip` the gradient never falls below 1 - a, so that no weight stops learning; with `clip`,
f is constant beyond ±clip.

The abstract does not say what "adaptively" means. `adaptive` chooses among three readings of it:

    schedule      a and k follow progress, as above
    statistics    a follows progress; k is solved for each layer, so that the gradients of its own weights
                  vary as those of N(0, 1) do at the schedule's k (`estimators.adaptive`)
    learned       k follows progress; a = sigmoid(theta), one theta a layer, from a_start: the forward does
                  not depend on a, so its gradient is defined as dL/da = sum g·(phi(x) - x)
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from binarize.estimators.adaptive import same_variance
from binarize.estimators.base import Estimator, choice, constant, tanh_grad, within

Number = float | Tensor
READINGS = ("schedule", "statistics", "learned")


@dataclass(frozen=True)
class _AdaptiveBlend(Estimator):
    """The blend and its schedule; a subclass supplies phi and its derivative."""

    source = "reconstruction after Gupta & Kumar, ECML-PKDD 2025 (equations not public)"
    schedule = "a = a_end·(1 - cos(p·pi/2)), k = k_start·(k_end/k_start)^p"

    a_end: float = constant(0.8, "share of phi at p = 1", at_least=0, at_most=1)
    k_start: float = constant(1.0, "steepness of phi at p = 0", above=0)
    k_end: float = constant(5.0, "steepness of phi at p = 1", above=0)
    clip: float | None = constant(None, "where f becomes constant; null for nowhere", above=0)
    adaptive: str = choice(
        "schedule",
        "what a and k follow: progress, k the layer's weights, or a its gradient",
        READINGS,
    )
    a_start: float = constant(0.5, "share of phi at p = 0, where it is learned", above=0, below=1)

    def blend(self, progress: float, *own: Tensor) -> tuple[Number, Number]:
        """(a, k) at this progress, for a layer with these own values."""
        k: Number = self.k_start * (self.k_end / self.k_start) ** progress
        if self.adaptive == "learned":
            return torch.sigmoid(own[0]) if own else self.a_start, k
        if self.adaptive == "statistics" and own:
            (k,) = own
        return self.a_end * (1 - math.cos(progress * math.pi / 2)), k

    def measured(self, x: Tensor, progress: float) -> tuple[Tensor, ...]:
        if self.adaptive != "statistics":
            return ()
        _, k = self.blend(progress)
        return (same_variance(self._phi_grad, k, x),)

    def learned(self) -> dict[str, float]:
        if self.adaptive != "learned":
            return {}
        return {"theta": math.log(self.a_start / (1 - self.a_start))}

    def surrogate(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        a, k = self.blend(progress, *own)
        x = self._clipped(x)
        return (1 - a) * x + a * self._phi(x, k)

    def surrogate_grad(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        a, k = self.blend(progress, *own)
        slope = self._phi_grad(x, k).mul_(a).add_(1 - a)
        return slope if self.clip is None else slope.mul_(within(x, self.clip))

    def learned_grad(self, x: Tensor, progress: float, *own: Tensor) -> tuple[Tensor, ...]:
        if self.adaptive != "learned":
            return ()
        a, k = self.blend(progress, *own)
        x = self._clipped(x)
        return ((self._phi(x, k) - x) * (a * (1 - a)),)

    def _clipped(self, x: Tensor) -> Tensor:
        return x if self.clip is None else x.clamp(-self.clip, self.clip)

    @abstractmethod
    def _phi(self, x: Tensor, k: Number) -> Tensor:
        """The non-linear part: odd, with phi(1) = 1."""

    @abstractmethod
    def _phi_grad(self, x: Tensor, k: Number) -> Tensor:
        """Its derivative in x, in a tensor of its own."""


@dataclass(frozen=True)
class ABTanh(_AdaptiveBlend):
    """AB-Tanh-STE (reconstruction): phi(x) = tanh(kx)/tanh(k)."""

    name = "ab-tanh"
    formula = "(1 - a) + a·k·(1 - tanh²(kx))/tanh(k)"

    def _phi(self, x: Tensor, k: Number) -> Tensor:
        return torch.tanh(k * x) / _tanh(k)

    def _phi_grad(self, x: Tensor, k: Number) -> Tensor:
        return tanh_grad(k * x).mul_(k / _tanh(k))


@dataclass(frozen=True)
class ABArcTan(_AdaptiveBlend):
    """AB-ArcTan-STE (reconstruction): phi(x) = atan(kx)/atan(k)."""

    name = "ab-arctan"
    formula = "(1 - a) + a·k/((1 + k²x²)·atan(k))"

    a_end: float = constant(0.9, "share of phi at p = 1", at_least=0, at_most=1)
    k_end: float = constant(7.0, "steepness of phi at p = 1", above=0)

    def _phi(self, x: Tensor, k: Number) -> Tensor:
        return torch.atan(k * x) / _atan(k)

    def _phi_grad(self, x: Tensor, k: Number) -> Tensor:
        return (k * x).square_().add_(1).reciprocal_().mul_(k / _atan(k))


def _tanh(k: Number) -> Number:
    return torch.tanh(k) if isinstance(k, Tensor) else math.tanh(k)


def _atan(k: Number) -> Number:
    return torch.atan(k) if isinstance(k, Tensor) else math.atan(k)
