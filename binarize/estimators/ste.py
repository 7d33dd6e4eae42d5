"""The straight-through estimator, plain and clipped: the gradient of the identity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from binarize.estimators.base import Estimator, constant, within


@dataclass(frozen=True)
class STE(Estimator):
    """f(x) = x, f'(x) = 1: the gradient passes unchanged."""

    name = "ste"
    source = "BinaryConnect, Courbariaux et al., arXiv 1511.00363"
    formula = "1"

    def surrogate(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        return x

    def surrogate_grad(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        return torch.ones_like(x)


@dataclass(frozen=True)
class ClippedSTE(Estimator):
    """f(x) = clip(x, -c, c), f'(x) = 1[|x| <= c]: a weight beyond ±c stops learning."""

    name = "clipped-ste"
    source = "BNN, Hubara et al., arXiv 1602.02830"
    formula = "1[|x| <= c]"

    c: float = constant(1.0, "where f becomes constant", above=0)

    def surrogate(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        return x.clamp(-self.c, self.c)

    def surrogate_grad(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        return within(x, self.c)
