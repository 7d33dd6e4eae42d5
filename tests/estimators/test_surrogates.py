"""Every surrogate and its gradient against the closed forms, on a grid and on whatever hypothesis finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from closed_forms import FORMS
from hypothesis import given
from hypothesis import strategies as st

from binarize import estimators
from binarize.estimators.base import tanh_grad

GRID = np.sort(np.concatenate([np.linspace(-4, 4, 1601), [-1.5, -0.1, -0.0, 1e-12, 0.1, 1.5]]))
PROGRESS = (0.0, 0.1, 0.5, 0.9, 1.0)
CONSTANTS = {
    "clipped-ste": {"c": 0.7},
    "swish-sign": {"b": 2.0},
    "fda": {"w": 0.5, "n_start": 0, "n_end": 3, "clip": 0.9},
    "recu": {"tau_min": 0.6, "tau_max": 0.9, "gain": 1.0},
    "rbnn": {"t_min": 0.3, "t_max": 2.0},
    "dsq": {"a_start": 0.05, "delta": 1.4},
    "ede": {"t_min": 0.5, "t_max": 4.0},
    "reste": {"o_end": 2.0, "t": 1.2, "m": 0.25},
    "ab-tanh": {"a_end": 1.0, "k_end": 12.0, "clip": 1.3},
    "ab-arctan": {"a_end": 0.4, "k_end": 3.0, "clip": 2.0},
}

every_estimator = pytest.mark.parametrize("name", estimators.TABLE)
every_progress = pytest.mark.parametrize("progress", PROGRESS)


def test_every_estimator_has_a_closed_form_here():
    assert set(FORMS) == set(estimators.TABLE)


@every_estimator
@every_progress
@pytest.mark.parametrize("changed", [False, True], ids=["defaults", "other constants"])
def test_both_functions_are_the_closed_forms(name, progress, changed):
    constants = CONSTANTS.get(name, {}) if changed else {}
    estimator = estimators.get(name, **constants)
    f, slope = FORMS[name](GRID, progress, **constants)
    x = torch.from_numpy(GRID)
    np.testing.assert_allclose(estimator.surrogate(x, progress).numpy(), f, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        estimator.surrogate_grad(x, progress).numpy(), slope, rtol=1e-9, atol=1e-12
    )


@every_estimator
@given(x=st.floats(-6, 6), progress=st.floats(0, 1))
def test_the_gradient_is_the_closed_form_anywhere(name, x, progress):
    slope = FORMS[name](np.array([x]), progress)[1]
    ours = estimators.get(name).surrogate_grad(torch.tensor([x], dtype=torch.float64), progress)
    np.testing.assert_allclose(ours.numpy(), slope, rtol=1e-7, atol=1e-9)


@every_estimator
@every_progress
def test_the_gradient_is_the_derivative_of_the_surrogate(name, progress):
    estimator = estimators.get(name)
    # Off the grid's kinks (multiples of 0.1), where autograd has to choose a side.
    x = torch.arange(-3.97, 4, 0.05, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(estimator.surrogate(x, progress).sum(), x)
    torch.testing.assert_close(estimator.surrogate_grad(x, progress), slope, rtol=1e-9, atol=1e-12)


@every_estimator
@every_progress
def test_the_gradient_is_the_finite_difference_of_the_surrogate(name, progress):
    estimator = estimators.get(name)
    x, step = torch.arange(-3.97, 4, 0.05, dtype=torch.float64), 1e-5
    kinks = torch.tensor(sorted(KINKS.get(name, lambda p: [])(progress)), dtype=torch.float64)
    x = x[((x.abs()[:, None] - kinks).abs() > 1e-3).all(1)]
    ends = (estimator.surrogate(x + d, progress) for d in (step, -step))
    difference = (next(ends) - next(ends)) / (2 * step)
    slope = estimator.surrogate_grad(x, progress)
    torch.testing.assert_close(slope, difference, rtol=1e-6, atol=1e-6)


KINKS = {
    "clipped-ste": lambda p: [1.0],
    "approx-sign": lambda p: [0.0, 1.0],
    "reste": lambda p: [0.1, 1.5],
    "fda": lambda p: [1.0],
    "recu": lambda p: [estimators.get("recu").quantile(p)],
    "rbnn": lambda p: [0.0, math.sqrt(2) / estimators.get("rbnn").steepness(p)[1]],
    "dsq": lambda p: [1.0],
}


@every_estimator
@every_progress
def test_the_surrogate_is_odd_and_falls_only_where_it_is_said_to(name, progress):
    f = estimators.get(name).surrogate(torch.from_numpy(GRID), progress)
    mirrored = estimators.get(name).surrogate(torch.from_numpy(-GRID), progress)
    torch.testing.assert_close(mirrored, -f, rtol=0, atol=1e-12)
    middle = torch.from_numpy(np.abs(GRID[1:] + GRID[:-1]) / 2)
    peak = PEAKS.get(name, lambda p: math.inf)(progress)
    assert (f.diff()[middle < peak] >= -1e-12).all()


PEAKS = {
    # bx·tanh(bx/2) = 2 at bx = 2.3994
    "swish-sign": lambda p: 2.3993 / 5,
    "fda": lambda p: math.pi / (2 * 0.1 * (math.floor(9 + 9 * p) + 1)),
}


@pytest.mark.parametrize(("name", "beyond"), [("swish-sign", 0.481), ("fda", 0.828)])
def test_where_the_gradient_turns_negative(name, beyond):
    estimator = estimators.get(name)
    x = torch.tensor([beyond - 2e-3, beyond], dtype=torch.float64)
    before, after = estimator.surrogate_grad(x, 1.0)
    assert before > 0 > after


def test_fda_does_not_turn_negative_within_its_clip_before_its_fifteenth_term():
    estimator, x = estimators.get("fda"), torch.linspace(-1, 1, 2001, dtype=torch.float64)
    for terms in range(9, 19):
        slope = estimator.surrogate_grad(x, (terms - 9) / 9)
        assert bool((slope < 0).any()) == (terms > 14), terms


@every_estimator
@every_progress
def test_the_gradient_is_finite_at_and_around_zero_in_float32(name, progress):
    x = torch.tensor([0.0, -0.0, 1e-45, -1e-45, 1e-38, 1e30, -1e30])
    slope = estimators.get(name).surrogate_grad(x, progress)
    assert slope.isfinite().all()
    assert slope.shape == x.shape
    assert slope.dtype == x.dtype


@pytest.mark.parametrize("name", ["ab-tanh", "ab-arctan"])
@given(
    a_end=st.floats(0, 1),
    k_end=st.floats(0.1, 50),
    progress=st.floats(0, 1),
    x=st.floats(-4, 4),
)
def test_the_blend_is_never_further_from_sign_than_the_identity_and_never_dies(
    name, a_end, k_end, progress, x
):
    estimator = estimators.get(name, a_end=a_end, k_end=k_end)
    x = torch.tensor([x], dtype=torch.float64)
    target = estimators.sign(x)
    distance = (estimator.surrogate(x, progress) - target).abs()
    assert distance <= (x - target).abs() + 1e-9
    assert estimator.surrogate_grad(x, progress) >= 1 - estimator.blend(progress)[0] - 1e-12


@pytest.mark.parametrize("name", ["ste", "reste", "ab-tanh", "ab-arctan"])
def test_training_begins_with_the_plain_estimator(name):
    x = torch.linspace(-1.4, 1.4, 57)
    torch.testing.assert_close(estimators.get(name).surrogate_grad(x, 0.0), torch.ones_like(x))


class TestScheduleEnds:
    """What each schedule is at p = 0 and at p = 1."""

    def test_fda(self):
        assert [estimators.get("fda").last(p) for p in (0.0, 0.5, 0.999, 1.0)] == [9, 13, 17, 18]

    def test_recu(self):
        mean = math.sqrt(2 / math.pi)
        assert estimators.get("recu").quantile(0.0) == pytest.approx(-mean * math.log(0.3))
        assert estimators.get("recu").quantile(1.0) == pytest.approx(-mean * math.log(0.02))

    def test_rbnn(self):
        assert estimators.get("rbnn").steepness(0.0) == pytest.approx((100.0, 0.01))
        assert estimators.get("rbnn").steepness(1.0) == pytest.approx((1.0, 10.0))

    def test_ab_tanh(self):
        assert estimators.get("ab-tanh").blend(0.0) == (0.0, 1.0)
        assert estimators.get("ab-tanh").blend(1.0) == pytest.approx((0.8, 5.0))

    def test_ab_arctan(self):
        assert estimators.get("ab-arctan", k_start=2.0).blend(0.0) == (0.0, 2.0)
        assert estimators.get("ab-arctan").blend(1.0) == pytest.approx((0.9, 7.0))

    def test_ab_halfway(self):
        a, k = estimators.get("ab-tanh").blend(0.5)
        assert a == pytest.approx(0.8 * (1 - math.sqrt(0.5)))
        assert k == pytest.approx(math.sqrt(5.0))

    def test_ede(self):
        assert estimators.get("ede").steepness(0.0) == pytest.approx((10.0, 0.1))
        assert estimators.get("ede").steepness(0.5) == pytest.approx((1.0, 1.0))
        assert estimators.get("ede").steepness(1.0) == pytest.approx((1.0, 10.0))

    def test_reste(self):
        assert estimators.get("reste").order(0.0) == 1.0
        assert estimators.get("reste").order(1.0) == pytest.approx(3.0)


def test_reste_follows_its_root_its_secant_and_its_clip():
    slope = estimators.get("reste").surrogate_grad(torch.tensor([0.05, 0.1, 1.0, 1.5, 1.6]), 1.0)
    secant = 0.1 ** (1 / 3) / 0.1
    root = [1.0 ** (-2 / 3) / 3, 1.5 ** (-2 / 3) / 3]
    torch.testing.assert_close(slope, torch.tensor([secant, secant, *root, 0.0]))


def test_the_derivative_of_tanh_is_exact_in_its_tails():
    x = torch.tensor([-18.0, -10.0, 0.0, 10.0, 18.0], dtype=torch.float64)
    expected = [4 * math.exp(-2 * abs(v)) / (1 + math.exp(-2 * abs(v))) ** 2 for v in x.tolist()]
    np.testing.assert_allclose(tanh_grad(x).numpy(), expected, rtol=1e-12)
