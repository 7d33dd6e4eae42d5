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

from binarize.estimators.base import tanh_grad
from binarize.estimators.steepening import Steepening


@dataclass(frozen=True)
class EDE(Steepening):
    """f(x) = k·tanh(tx), f'(x) = k·t·(1 - tanh²(tx)); t grows geometrically, k = max(1/t, 1)."""

    name = "ede"
    source = "IR-Net, Qin et al., arXiv 1909.10788"
    formula = "k·t·(1 - tanh²(tx))"

    def surrogate(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        k, t = self.steepness(progress)
        return k * torch.tanh(t * x)

    def surrogate_grad(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        k, t = self.steepness(progress)
        return tanh_grad(t * x).mul_(k * t)
