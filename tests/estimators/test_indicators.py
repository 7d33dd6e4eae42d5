"""The known table: for z ~ N(0, 1), how far f is from sign and how much f' varies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from closed_forms import FORMS

from binarize import estimators
from binarize.estimators.indicators import distance_to_sign, gradient_variance

KNOWN = {
    "ste": ({}, 0.636, 0.0),
    "clipped-ste": ({}, 0.503, 0.217),
    "approx-sign": ({}, 0.395, 0.470),
    "ede": ({"t_max": 3.0}, 0.319, 0.98),
    "reste": ({"o_end": 3.0}, 0.309, 1.37),
    "ab-tanh": ({"a_end": 0.8, "k_end": 5.0}, 0.294, 1.297),
    "ab-arctan": ({"a_end": 0.9, "k_end": 7.0}, 0.296, 1.225),
}
# Two decimals of the variance are known for these; the rest is known to 3e-3.
COARSE = {"ede": 5e-3, "reste": 5e-3}


def expectation(values: np.ndarray, z: np.ndarray) -> float:
    """E of `values` for a standard-normal z, by the midpoint rule."""
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    step = z[1] - z[0]
    return float(np.sum(values * density) * step)


def moments(f: np.ndarray, slope: np.ndarray, z: np.ndarray) -> tuple[float, float]:
    """Root mean square distance of f to sign, and variance of the slope."""
    error = f - np.where(z >= 0, 1.0, -1.0)
    spread = expectation(slope**2, z) - expectation(slope, z) ** 2
    return np.sqrt(expectation(error**2, z)), spread


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_table_is_recomputed(name):
    constants, distance, variance = KNOWN[name]
    estimator = estimators.get(name, **constants)
    z = (np.arange(400_000) + 0.5) / 25_000 - 8  # midpoints: no kink is hit
    x = torch.from_numpy(z)
    f, slope = estimator.surrogate(x, 1.0).numpy(), estimator.surrogate_grad(x, 1.0).numpy()
    apart, spread = moments(f, slope, z)
    assert apart == pytest.approx(distance, abs=3e-3)
    assert spread == pytest.approx(variance, abs=COARSE.get(name, 3e-3))


@pytest.mark.parametrize("name", estimators.TABLE)
@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_the_packages_own_indicators_are_those_of_the_closed_forms(name, progress):
    z = (np.arange(400_000) + 0.5) / 25_000 - 8
    distance, variance = moments(*FORMS[name](z, progress), z)
    estimator = estimators.get(name)
    assert distance_to_sign(estimator, progress) == pytest.approx(distance, abs=3e-3)
    assert gradient_variance(estimator, progress) == pytest.approx(variance, abs=3e-3)


@pytest.mark.parametrize("name", KNOWN)
def test_the_packages_own_indicators_agree(name):
    constants, distance, variance = KNOWN[name]
    estimator = estimators.get(name, **constants)
    assert distance_to_sign(estimator, 1.0) == pytest.approx(distance, abs=3e-3)
    assert gradient_variance(estimator, 1.0) == pytest.approx(variance, abs=COARSE.get(name, 3e-3))


def test_an_estimator_without_a_forward_has_no_distance():
    class GradientOnly(estimators.Estimator):
        name = source = formula = "test"

        def surrogate_grad(self, x, progress):
            return torch.ones_like(x)

    assert distance_to_sign(GradientOnly(), 0.0) is None
    assert gradient_variance(GradientOnly(), 0.0) == pytest.approx(0.0, abs=1e-12)
