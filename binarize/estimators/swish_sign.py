"""SignSwish of BNN+: the derivative of a swish, stretched to go from -1 to +1.

Source: Darabi et al., "BNN+: Improved Binary Network Training", arXiv 1812.11800; b as in Larq's
`SwishSign`, which gives the same gradient.

    f(x)  = 2·s·(1 + bx·(1 - s)) - 1                     s = sigmoid(bx)
    f'(x) = b·(2 - bx·tanh(bx/2))/(1 + cosh(bx))

f overshoots ±1 where bx·tanh(bx/2) = 2, at |x| = 2.4/b, and comes back: beyond, f' is slightly negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from binarize.estimators.base import Estimator, constant, tanh_grad


@dataclass(frozen=True)
class SwishSign(Estimator):
    """f(x) = tanh(u/2) + u·(1 - tanh²(u/2))/2 with u = bx, which is what is above."""

    name = "swish-sign"
    source = "BNN+, Darabi et al., arXiv 1812.11800"
    formula = "b·(2 - bx·tanh(bx/2))/(1 + cosh(bx))"

    b: float = constant(5.0, "steepness", above=0)

    def surrogate(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        half = x * (self.b / 2)
        return torch.tanh(half) + half * tanh_grad(half)

    def surrogate_grad(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        # With s = sigmoid(-|u|): tanh(|u|/2) = 1 - 2s, and 1/(1 + cosh(u)) = 2s(1 - s) cannot overflow.
        u = x.abs().mul_(self.b)
        s = (-u).sigmoid_()
        return u.mul_(1 - 2 * s).neg_().add_(2).mul_(s).mul_(1 - s).mul_(2 * self.b)
