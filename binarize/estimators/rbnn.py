"""The training-aware approximation of RBNN: two parabolas that steepen from a line to sign.

Source: Lin et al., "Rotated Binary Neural Network", arXiv 2009.13055; the schedule and its ends as in
the authors' code. The rotation of the weights, the paper's other half, is not part of it.

    f(x)  = k·sign(x)·(sqrt2·t|x| - t²x²/2)      where |x| <= sqrt2/t, k·sign(x) beyond
    f'(x) = k·max(0, sqrt2·t - t²|x|)            t = t_min·(t_max/t_min)^p,  k = max(1/t, 1)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from binarize.estimators.base import constant, sign
from binarize.estimators.steepening import Steepening


@dataclass(frozen=True)
class RBNN(Steepening):
    """f(x) = k·sign(x)·(sqrt2·t|x| - t²x²/2) within ±sqrt2/t, constant beyond; t grows geometrically."""

    name = "rbnn"
    source = "RBNN, Lin et al., arXiv 2009.13055"
    formula = "k·max(0, sqrt2·t - t²|x|)"

    t_min: float = constant(0.01, "steepness at p = 0", above=0)

    def surrogate(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        k, t = self.steepness(progress)
        tx = (t * x.abs()).clamp_(max=math.sqrt(2))
        return k * sign(x) * tx * (math.sqrt(2) - tx / 2)

    def surrogate_grad(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        k, t = self.steepness(progress)
        return x.abs().mul_(-k * t * t).add_(k * t * math.sqrt(2)).clamp_(min=0)
