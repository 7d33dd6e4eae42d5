"""AB-STE: a linear and a non-linear surrogate, blended as training goes on. A reconstruction.

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
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from binarize.estimators.base import Estimator, constant


@dataclass(frozen=True)
class _AdaptiveBlend(Estimator):
    """The blend and its schedule; a subclass supplies phi and its derivative."""

    source = "reconstruction after Gupta & Kumar, ECML-PKDD 2025 (equations not public)"
    schedule = "a = a_end·(1 - cos(p·pi/2)), k = k_start·(k_end/k_start)^p"

    a_end: float = constant(0.8, "share of phi at p = 1", at_least=0, at_most=1)
    k_start: float = constant(1.0, "steepness of phi at p = 0", above=0)
    k_end: float = constant(5.0, "steepness of phi at p = 1", above=0)
    clip: float | None = constant(None, "where f becomes constant; null for nowhere", above=0)

    def blend(self, progress: float) -> tuple[float, float]:
        """(a, k) at this progress."""
        a = self.a_end * (1 - math.cos(progress * math.pi / 2))
        return a, self.k_start * (self.k_end / self.k_start) ** progress

    def surrogate(self, x: Tensor, progress: float) -> Tensor:
        a, k = self.blend(progress)
        if self.clip is not None:
            x = x.clamp(-self.clip, self.clip)
        return (1 - a) * x + a * self._phi(x, k)

    def surrogate_grad(self, x: Tensor, progress: float) -> Tensor:
        a, k = self.blend(progress)
        slope = (1 - a) + a * self._phi_grad(x, k)
        return slope if self.clip is None else slope * (x.abs() <= self.clip)

    @abstractmethod
    def _phi(self, x: Tensor, k: float) -> Tensor:
        """The non-linear part: odd, with phi(1) = 1."""

    @abstractmethod
    def _phi_grad(self, x: Tensor, k: float) -> Tensor:
        """Its derivative in x."""


@dataclass(frozen=True)
class ABTanh(_AdaptiveBlend):
    """AB-Tanh-STE (reconstruction): phi(x) = tanh(kx)/tanh(k)."""

    name = "ab-tanh"
    formula = "(1 - a) + a·k·(1 - tanh²(kx))/tanh(k)"

    def _phi(self, x: Tensor, k: float) -> Tensor:
        return torch.tanh(k * x) / math.tanh(k)

    def _phi_grad(self, x: Tensor, k: float) -> Tensor:
        return k * (1 - torch.tanh(k * x).square()) / math.tanh(k)


@dataclass(frozen=True)
class ABArcTan(_AdaptiveBlend):
    """AB-ArcTan-STE (reconstruction): phi(x) = atan(kx)/atan(k)."""

    name = "ab-arctan"
    formula = "(1 - a) + a·k/((1 + k²x²)·atan(k))"

    a_end: float = constant(0.9, "share of phi at p = 1", at_least=0, at_most=1)
    k_end: float = constant(7.0, "steepness of phi at p = 1", above=0)

    def _phi(self, x: Tensor, k: float) -> Tensor:
        return torch.atan(k * x) / math.atan(k)

    def _phi_grad(self, x: Tensor, k: float) -> Tensor:
        return k / ((1 + (k * x).square()) * math.atan(k))
