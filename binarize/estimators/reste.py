"""ReSTE, the rectified straight-through estimator: a root that sharpens from the identity to sign.

Source: Wu et al., "Estimator Meets Equilibrium Perspective", arXiv 2308.06689; t, m, the borders
and the schedule as in the authors' code.

    f(x)  = sign(x)·|x|^(1/o)                o = 1 + (o_end - 1)·(1 - cos(p·pi/2))
    f'(x) = (1/o)·|x|^((1-o)/o)              where m < |x| <= t
          = m^(1/o)/m                        where |x| <= m: the secant (a root is vertical at 0)
          = 0                                where |x| > t
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from binarize.estimators.base import Estimator, constant, sign, within


@dataclass(frozen=True)
class ReSTE(Estimator):
    """f(x) = sign(x)·|x|^(1/o), linear within ±m, constant beyond ±t; o grows from 1 to o_end."""

    name = "reste"
    source = "ReSTE, Wu et al., arXiv 2308.06689"
    formula = "(1/o)·|x|^((1-o)/o); m^(1/o)/m where |x| <= m; 0 where |x| > t"
    schedule = "o = 1 + (o_end - 1)·(1 - cos(p·pi/2))"

    o_end: float = constant(3.0, "order of the root at p = 1", at_least=1)
    t: float = constant(1.5, "where f becomes constant", above=0)
    m: float = constant(0.1, "where the secant ends", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.m > self.t:
            self.refuse("m", "m <= t")

    def order(self, progress: float) -> float:
        """o at this progress."""
        return 1 + (self.o_end - 1) * (1 - math.cos(progress * math.pi / 2))

    def surrogate(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        o, size = self.order(progress), x.abs()
        root = size.clamp(self.m, self.t) ** (1 / o)
        return torch.where(size <= self.m, x * self._secant(o), sign(x) * root)

    def surrogate_grad(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        o, size = self.order(progress), x.abs()
        power = (1 - o) / o
        slope = size.clamp_(min=self.m).pow_(power).div_(o)
        slope.add_(within(x, self.m), alpha=self._secant(o) - self.m**power / o)
        return slope.mul_(within(x, self.t))

    def _secant(self, o: float) -> float:
        return self.m ** (1 / o) / self.m
