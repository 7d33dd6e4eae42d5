"""Several binary bases: a weight that is a sum of binary ones, each of what those before it leave.

    w_b = s_1·b_1 + … + s_K·b_K        r_1 = w,   b_k = sign(r_k),   r_k+1 = r_k - s_k·b_k

K bases give a weight 2^K values. Signs follow from the scales, and the scales are those of least squares
(ABC-Net, arXiv 1711.11294), found by alternating as in ARB-LLM (arXiv 2410.03129):

    begin     s_k = mean |r_k|, one base after the other
    a round   the signs for these scales; then each scale in turn its best for these signs:
              s_k <- s_k + mean b_k·e        e: what all bases together leave of w

Both are functions of the latent weight and are computed anew in every forward: nothing is added to a
checkpoint. No other signs of two bases are nearer to w with these scales.

Unlike one base, they are of w and not of w - mu: with more than two values there is room for the mean of a
filter, and a trained network is better for it (docs/decisions/0022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from binarize.estimators import sign

ROUNDS = 3
"""More lower the squared error of two bases by less than 1 %, where weights are normally distributed; of
three and four, which a round helps less, by a sixth and a third in the end."""


def fit(w: Tensor, bases: int, mean: Callable[[Tensor], Tensor]) -> Tensor:
    """Scales [bases, out, 1, ...] of the weight w [out, ...]; `mean`: [out, ...] -> [out, 1, ...], or
    over the whole layer [1, 1, ...]."""
    # Of |w|, whose first sign is always +1: the signs of w are those of |w| times sign(w).
    size = w.abs()
    scales, rest = [], size
    for _ in range(bases):
        scales.append(mean(rest))
        rest = (rest - scales[-1]).abs_()
    for _ in range(ROUNDS):
        rest, signs = size - scales[0], []
        for s in scales[1:]:
            signs.append(sign(rest))
            rest = rest - s * signs[-1]
        change = mean(rest)
        scales[0] = scales[0] + change
        for k, b in enumerate(signs, 1):
            rest = rest.sub_(change if k == 1 else change * signs[k - 2])
            change = mean(b * rest)
            scales[k] = scales[k] + change
    return torch.stack(scales)


def residuals(w: Tensor, scales: Iterable[Tensor]) -> Iterator[Tensor]:
    """r_1, …, r_K, each of the shape of w and, but for the first, which is w, in a tensor of its own."""
    r, before = w, None
    for s in scales:
        r = r if before is None else r - before * sign(r)
        before = s
        yield r
