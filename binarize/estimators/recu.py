"""ReCU, the rectified clamp unit: the plain gradient, for weights within a quantile alone.

Source: Xu et al., "ReCU: Reviving the Dead Weights in Binary Neural Networks", arXiv 2103.12369; the
schedule, its ends and the gain as in the authors' code.

There, weights are standardised with sigma/(2·sqrt2) for sigma, so that they are v = gain·z; clamped to
±Q, the tau quantile of a Laplace distribution of their mean magnitude; and then binarized, with the
gradient of the identity, which the clamp lets through within ±Q alone. Signs do not see a gain or a
clamp, so all of it is a surrogate on z:

    f(z)  = gain·clamp(z, -q, q)         q   = -E|z|·ln(2 - 2·tau)       E over all of the layer
    f'(z) = gain·1[|z| <= q]             tau = tau_min + (tau_max - tau_min)·(e^p - 1)/(e - 1)

The gain multiplies every gradient by 2.83: with an optimiser that is not invariant to that, compare at
gain = 1. E|z| is measured for each layer; without a layer it is that of N(0, 1), sqrt(2/pi).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from binarize.estimators.base import Estimator, constant, within

NORMAL = math.sqrt(2 / math.pi)  # E|z| of N(0, 1)


@dataclass(frozen=True)
class ReCU(Estimator):
    """f(x) = gain·clamp(x, -q, q), q the tau quantile of the layer's weights; tau grows."""

    name = "recu"
    source = "ReCU, Xu et al., arXiv 2103.12369"
    formula = "gain·1[|x| <= -E|x|·ln(2 - 2tau)]"
    schedule = "tau = tau_min + (tau_max - tau_min)·(e^p - 1)/(e - 1)"

    tau_min: float = constant(0.85, "quantile at p = 0", above=0.5, below=1)
    tau_max: float = constant(0.99, "quantile at p = 1", above=0.5, below=1)
    gain: float = constant(2 * math.sqrt(2), "slope within the quantile", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tau_max < self.tau_min:
            self.refuse("tau_max", "tau_min <= tau_max")

    def quantile(self, progress: float, mean: float | Tensor = NORMAL) -> float | Tensor:
        """q at this progress, for weights of that mean magnitude."""
        # A power and log2, because torch.compile would compile exp and log again for every progress.
        grown = (math.e**progress - 1) / (math.e - 1)
        tau = self.tau_min + (self.tau_max - self.tau_min) * grown
        return mean * (-math.log(2) * math.log2(2 - 2 * tau))

    def measured(self, x: Tensor, progress: float) -> tuple[Tensor]:
        return (x.abs().mean(),)

    def surrogate(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        q = self.quantile(progress, *own)
        return self.gain * x.clamp(-q, q)  # type: ignore[arg-type]  # no overload for float | Tensor

    def surrogate_grad(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        return within(x, self.quantile(progress, *own)).mul_(self.gain)
