"""DSQ, differentiable soft quantisation, with one bit: a tanh whose steepness each layer learns.

Source: Gong et al., "Differentiable Soft Quantization", arXiv 1908.05033; the first a as in a public
re-implementation. One bit has one interval, of width delta around m = 0; its ends, which the paper learns
too, are constants here, since standardised weights do not move.

    f(x)  = s·tanh(kx)   within ±delta/2, ±1 beyond         s = 1/(1 - a)
    f'(x) = s·k·(1 - tanh²(kx)), 0 beyond                   k = ln(2/a - 1)/delta

a = 1 - tanh(k·delta/2) in (0, 1) is the share of the step that f still lacks; at a -> 0 f is sign. It is
learned as a = sigmoid(theta), which keeps it where s and k exist, with df/dtheta = df/da·a(1 - a).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from binarize.estimators.base import Estimator, constant, tanh_grad, within

REACH = 9.0  # of theta: beyond, s and k of float32 are inf and 0


@dataclass(frozen=True)
class DSQ(Estimator):
    """f(x) = s·tanh(kx) within ±delta/2, ±1 beyond; a, and with it s and k, are learned per layer."""

    name = "dsq"
    source = "DSQ, Gong et al., arXiv 1908.05033"
    formula = "s·k·(1 - tanh²(kx))·1[|x| <= delta/2], s = 1/(1 - a), k = ln(2/a - 1)/delta"

    a_start: float = constant(0.2, "a before training", above=0, below=1)
    delta: float = constant(2.0, "width of the interval around 0 in which f rises", above=0)

    def learned(self) -> dict[str, float]:
        return {"theta": math.log(self.a_start / (1 - self.a_start))}

    def shape(self, x: Tensor, *own: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(a, s, k), 0-d, in the dtype of x."""
        theta = own[0].to(x.dtype) if own else x.new_full((), self.learned()["theta"])
        a = torch.sigmoid(theta.clamp(-REACH, REACH))
        return a, 1 / (1 - a), torch.log(2 / a - 1) / self.delta

    def surrogate(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        _, s, k = self.shape(x, *own)
        return s * torch.tanh(k * x.clamp(-self.delta / 2, self.delta / 2))

    def surrogate_grad(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        _, s, k = self.shape(x, *own)
        return tanh_grad(k * x).mul_(s * k).mul_(self._inside(x))

    def learned_grad(self, x: Tensor, progress: float, *own: Tensor) -> tuple[Tensor]:
        a, s, k = self.shape(x, *own)
        by_k = s * x * tanh_grad(k * x) * (-2 / (self.delta * a * (2 - a)))
        by_a = s * s * torch.tanh(k * x) + by_k
        return (by_a * (a * (1 - a)) * self._inside(x),)

    def _inside(self, x: Tensor) -> Tensor:
        return within(x, self.delta / 2)
