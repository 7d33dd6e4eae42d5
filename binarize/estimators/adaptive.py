"""How steep f has to be for one layer, so that its gradient varies as much as it would for N(0, 1).

A schedule sets the steepness k for weights that follow N(0, 1). A layer's weights, though standardised,
need not: with more of them near 0 (a higher kurtosis), the same k gives some of them far more gradient
than the rest. Here k is solved for the layer:

    var f'(z; k_layer) over its own z  =  var f'(z; k) for z ~ N(0, 1)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

SAMPLE = 4096  # weights of a layer that are looked at
REACH = 8.0  # k_layer lies within a factor of 8 of k
STEPS = 16

Slope = Callable[[Tensor, float | Tensor], Tensor]
"""(z [1, n], k: a number or [m, 1]) -> f'(z; k) [1 or m, n]."""


def same_variance(slope: Slope, k: float | Tensor, z: Tensor) -> Tensor:
    """k_layer, 0-d, for the layer whose standardised weights are z (of any shape).

    Found on a grid of k that is refined once and interpolated; within `REACH` of k, whatever z is. Where
    several k would do, it is the smallest on the grid.
    """
    z, normal = sampled(z)[None], normal_sample(z)[None]
    target = slope(normal, k).var(1)
    unit = torch.linspace(0, 1, STEPS + 1, device=z.device, dtype=z.dtype)
    low: float | Tensor = -math.log(REACH)  # of k_layer/k
    high: float | Tensor = math.log(REACH)
    for _ in range(2):
        grid = low + unit * (high - low)
        spread = slope(z, k * grid.exp()[:, None]).var(1)
        reached = spread >= target
        at = torch.where(reached.any(), reached.int().argmax(), STEPS).clamp(min=1)[None]
        (low, high), (under, over) = (grid[at - 1], grid[at]), (spread[at - 1], spread[at])
    share = ((target - under) / (over - under).clamp(min=torch.finfo(z.dtype).tiny)).clamp(0, 1)
    return k * (low + share * (high - low)).exp()[0]


def sampled(z: Tensor) -> Tensor:
    """At most `SAMPLE` of z, evenly over it, [n]. The stride shares no factor with the number of weights:
    otherwise it could meet one position of a kernel alone."""
    flat = z.reshape(-1)
    stride = -(-len(flat) // SAMPLE)
    while stride > 1 and math.gcd(stride, len(flat)) > 1:
        stride += 1
    return flat[::stride]


def normal_sample(like: Tensor) -> Tensor:
    """`SAMPLE` quantiles of N(0, 1)."""
    at = torch.arange(SAMPLE, device=like.device, dtype=like.dtype)
    return torch.special.ndtri((at + 0.5) / SAMPLE)
