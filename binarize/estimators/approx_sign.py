"""ApproxSign of Bi-Real Net: sign approximated by two parabolas."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from binarize.estimators.base import Estimator


@dataclass(frozen=True)
class ApproxSign(Estimator):
    """f(x) = x·(2 - |x|) within ±1 and ±1 beyond, f'(x) = 2 - 2|x| within ±1 and 0 beyond."""

    name = "approx-sign"
    source = "Bi-Real Net, Liu et al., arXiv 1808.00278"
    formula = "(2 - 2|x|)·1[|x| <= 1]"

    def surrogate(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        inside = x.clamp(-1, 1)
        return inside * (2 - inside.abs())

    def surrogate_grad(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        return 2 - 2 * x.abs().clamp(max=1)
