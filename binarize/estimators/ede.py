"""EDE, the error decay estimator of IR-Net: a tanh that steepens from the identity to sign.

Source: Qin et al., "Forward and Backward Information Retention for Accurate Binary Neural
Networks", arXiv 1909.10788; the schedule and its ends as in the authors' code.

    f(x)  = k·tanh(tx)                      t = 10^(log10 t_min + (log10 t_max - log10 t_min)·p)
    f'(x) = k·t·(1 - tanh²(tx))             k = max(1/t, 1)

While t < 1, k = 1/t holds f'(0) at 1, so every weight learns; from t = 1 on, f goes to sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from binarize.estimators.base import Estimator, constant, tanh_grad


@dataclass(frozen=True)
class EDE(Estimator):
    """f(x) = k·tanh(tx), f'(x) = k·t·(1 - tanh²(tx)); t grows geometrically, k = max(1/t, 1)."""

    name = "ede"
    source = "IR-Net, Qin et al., arXiv 1909.10788"
    formula = "k·t·(1 - tanh²(tx))"
    schedule = "t = t_min·(t_max/t_min)^p, k = max(1/t, 1)"

    t_min: float = constant(0.1, "steepness at p = 0", above=0)
    t_max: float = constant(10.0, "steepness at p = 1", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.t_max < self.t_min:
            self.refuse("t_max", "t_min <= t_max")

    def steepness(self, progress: float) -> tuple[float, float]:
        """(k, t) at this progress."""
        t = self.t_min * (self.t_max / self.t_min) ** progress
        return max(1 / t, 1.0), t

    def surrogate(self, x: Tensor, progress: float) -> Tensor:
        k, t = self.steepness(progress)
        return k * torch.tanh(t * x)

    def surrogate_grad(self, x: Tensor, progress: float) -> Tensor:
        k, t = self.steepness(progress)
        return tanh_grad(t * x).mul_(k * t)
