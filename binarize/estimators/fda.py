"""FDA-BNN: the derivative of the first terms of sign's Fourier series.

Source: Xu et al., "Learning Frequency Domain Approximation for Binary Neural Networks", arXiv
2103.00841. The paper's noise adaptation module is not part of it. Its authors' published code has no
gradient of this kind (weights and inputs go through the identity there), so w, n's ends and the clip are
those of re-implementations, and n grows evenly here.

    f(x)  = (4/pi)·sum_{i=0..n} sin((2i+1)wx)/(2i+1)      x clipped to ±clip
    f'(x) = (4w/pi)·sum_{i=0..n} cos((2i+1)wx)            0 beyond ±clip
          = (2w/pi)·sin(2(n+1)wx)/sin(wx)                 n = floor(n_start + (n_end - n_start)·p)

f rises to its first peak, 1.18 (Gibbs), at |x| = pi/(2w(n+1)) and falls after it. The peak lies beyond
the clip as long as n < pi/(2w·clip) - 1, which is 14.7 with the constants as they are; at n = 18 it is at
0.827, and a weight between there and 1 has a small gradient of the wrong sign. That is what the formula
says, so it is what is done; `clip` = 0.82 or `n_end` = 14 ends it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from binarize.estimators.base import Estimator, constant, within

TINY = 1e-20  # the ratio of two sines at 0 is that at a number which no sine can tell from 0


@dataclass(frozen=True)
class FDA(Estimator):
    """f(x) = (4/pi)·sum_{i=0..n} sin((2i+1)wx)/(2i+1) within ±clip, constant beyond; n grows."""

    name = "fda"
    source = "FDA-BNN, Xu et al., arXiv 2103.00841"
    formula = "(4w/pi)·sum_{i=0..n} cos((2i+1)wx)·1[|x| <= clip]"
    schedule = "n = floor(n_start + (n_end - n_start)·p)"

    w: float = constant(0.1, "lowest frequency", above=0)
    n_start: float = constant(9, "terms after the first at p = 0", at_least=0)
    n_end: float = constant(18, "terms after the first at p = 1", at_least=0)
    clip: float = constant(1.0, "where f becomes constant", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.w * self.clip >= math.pi:  # another period of the series
            self.refuse("w", "w·clip < pi")

    def last(self, progress: float) -> int:
        """n at this progress."""
        return math.floor(self.n_start + (self.n_end - self.n_start) * progress)

    def surrogate(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        u = self.w * x.clamp(-self.clip, self.clip)
        odd = range(1, 2 * self.last(progress) + 2, 2)
        return (4 / math.pi) * torch.stack([torch.sin(m * u) / m for m in odd]).sum(0)

    def surrogate_grad(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        u = x.abs().clamp_(TINY, self.clip).mul_(self.w)
        terms = 2 * (self.last(progress) + 1)
        ratio = (u * terms).sin_().div_(u.sin_())
        return ratio.mul_(2 * self.w / math.pi).mul_(within(x, self.clip))
