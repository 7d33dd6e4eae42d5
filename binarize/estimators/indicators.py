"""Two numbers that sum an estimator up, for standardised latent weights z ~ N(0, 1).

How far its surrogate is from sign (the error it makes) and how much its gradient varies from weight to
weight (the noise it adds): the two sides that ReSTE (arXiv 2308.06689) weighs against each other.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from binarize.estimators.base import Estimator, sign

REACH, CELLS = 8.0, 16_000  # the mass beyond ±8 is 1e-15; midpoints keep clear of kinks and of 0


def distance_to_sign(estimator: Estimator, progress: float) -> float | None:
    """sqrt(E (f(z) - sign(z))²); None for an estimator that has no f."""
    z = _midpoints()
    f = estimator.surrogate(z, progress)
    return None if f is None else math.sqrt(_expectation((f - sign(z)).square(), z))


def gradient_variance(estimator: Estimator, progress: float) -> float:
    """var f'(z)."""
    z = _midpoints()
    slope = estimator.surrogate_grad(z, progress)
    return _expectation((slope - _expectation(slope, z)).square(), z)


def _midpoints() -> Tensor:
    return (torch.arange(CELLS, dtype=torch.float64) + 0.5) * (2 * REACH / CELLS) - REACH


def _expectation(values: Tensor, z: Tensor) -> float:
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return float((values * density).sum() * (2 * REACH / CELLS))
