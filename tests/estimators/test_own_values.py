"""What an estimator knows of one layer: statistics of its weights, and parameters that it learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from closed_forms import ab, dsq, recu

from binarize import estimators
from binarize.estimators.adaptive import SAMPLE, normal_sample, same_variance, sampled

LEARNED = {
    "dsq": estimators.get("dsq"),
    "ab-tanh": estimators.get("ab-tanh", adaptive="learned"),
    "ab-tanh, clipped": estimators.get("ab-tanh", adaptive="learned", clip=1.2),
    "ab-arctan": estimators.get("ab-arctan", adaptive="learned", a_start=0.3),
}
X = np.linspace(-2.97, 3.0, 400)  # off every kink


def sigmoid(theta: float) -> float:
    return 1 / (1 + math.exp(-theta))


def f_of_theta(which: str, theta: float, progress: float) -> tuple[np.ndarray, np.ndarray]:
    """(f, f') of X in numpy, for a layer that has learned theta."""
    a = sigmoid(theta)
    if which == "dsq":
        return dsq(X, progress, a_start=a)
    kind, clip = which.split(",")[0].removeprefix("ab-"), 1.2 if "clipped" in which else None
    return ab(kind, X, progress, 0.0, {"tanh": 5.0, "arctan": 7.0}[kind], clip, a=a)


every_learner = pytest.mark.parametrize("which", LEARNED)


@every_learner
@pytest.mark.parametrize("theta", [-3.0, -0.4, 0.0, 1.7])
@pytest.mark.parametrize("progress", [0.0, 0.7])
def test_f_and_its_gradient_follow_theta(which, theta, progress):
    estimator, x = LEARNED[which], torch.from_numpy(X)
    own = torch.tensor(theta, dtype=torch.float64)
    f, slope = f_of_theta(which, theta, progress)
    np.testing.assert_allclose(estimator.surrogate(x, progress, own), f, rtol=1e-9, atol=1e-12)
    ours = estimator.surrogate_grad(x, progress, own)
    np.testing.assert_allclose(ours, slope, rtol=1e-9, atol=1e-12)


@every_learner
@pytest.mark.parametrize("theta", [-3.0, 0.0, 1.7])
def test_the_gradient_of_theta_is_the_sum_of_g_times_df_dtheta(which, theta):
    estimator, step = LEARNED[which], 1e-6
    x = torch.from_numpy(X).requires_grad_()
    own = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(len(X), dtype=torch.float64)
    to_x, to_theta = torch.autograd.grad(estimator(x, 0.7, own), (x, own), upstream)
    higher, lower = (f_of_theta(which, theta + d, 0.7)[0] for d in (step, -step))
    expected = (upstream.numpy() * (higher - lower) / (2 * step)).sum()
    assert to_theta.item() == pytest.approx(expected, rel=1e-6, abs=1e-7)
    slope = f_of_theta(which, theta, 0.7)[1]
    np.testing.assert_allclose(to_x, upstream.numpy() * slope, rtol=1e-9, atol=1e-12)


def test_the_learned_blend_gets_the_gradient_that_is_defined_for_it():
    estimator = estimators.get("ab-tanh", adaptive="learned", a_start=0.2)
    x, theta = torch.from_numpy(X), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(len(X), dtype=torch.float64)
    (grad,) = torch.autograd.grad(estimator(x, 1.0, theta), theta, upstream)
    a, phi = sigmoid(0.3), np.tanh(5 * X) / np.tanh(5)
    to_a = (upstream.numpy() * (phi - X)).sum()  # dL/da := sum g·(phi(z) - z)
    assert grad.item() == pytest.approx(to_a * a * (1 - a), rel=1e-9)


@every_learner
def test_without_a_layer_theta_is_what_it_begins_with(which):
    estimator, x = LEARNED[which], torch.from_numpy(X)
    (first,) = estimator.learned().values()
    own = torch.tensor(first, dtype=torch.float64)
    for function in (estimator.surrogate, estimator.surrogate_grad):
        torch.testing.assert_close(function(x, 0.5), function(x, 0.5, own))


@every_learner
@pytest.mark.parametrize("theta", [-100.0, -9.5, 9.5, 100.0])
def test_no_theta_makes_it_infinite(which, theta):
    estimator, x = LEARNED[which], torch.linspace(-3, 3, 61)
    own = torch.tensor(theta)
    (to_theta,) = estimator.learned_grad(x, 0.9, own)
    for values in (
        estimator.surrogate(x, 0.9, own),
        estimator.surrogate_grad(x, 0.9, own),
        to_theta,
    ):
        assert values.isfinite().all()


@every_learner
def test_what_is_learned_gets_its_gradient_in_its_own_dtype(which):
    x, theta = torch.randn(50).bfloat16(), torch.tensor(0.1, dtype=torch.bfloat16)
    grads = torch.autograd.grad(
        LEARNED[which](x.requires_grad_(), 0.5, theta.requires_grad_()).sum(), (x, theta)
    )
    assert [grad.dtype for grad in grads] == [torch.bfloat16, torch.bfloat16]
    assert grads[1].shape == ()


def test_only_the_learned_reading_learns():
    for adaptive in ("schedule", "statistics"):
        estimator = estimators.get("ab-tanh", adaptive=adaptive)
        assert estimator.learned() == {}
        assert estimator.learned_grad(torch.zeros(3), 0.5) == ()


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_recu_measures_the_mean_magnitude_of_the_layer(progress):
    x = torch.randn(30, 40, dtype=torch.float64).pow(3)
    estimator = estimators.get("recu")
    own = estimator.own(x, progress)
    f, slope = recu(x.numpy(), progress, mean=np.abs(x.numpy()).mean())
    np.testing.assert_allclose(estimator.surrogate(x, progress, *own), f, rtol=1e-12)
    np.testing.assert_array_equal(estimator.surrogate_grad(x, progress, *own), slope)
    assert 0 < (slope == 0).mean() < 0.5


LAYERS = {
    "uniform": lambda x: 2 * x.sigmoid() - 1,
    "normal": lambda x: x,
    "heavy tails": lambda x: x * x.abs(),
    "two humps": lambda x: x + 2 * x.sign(),
}


def standardised(shape: str, count: int = 20_000) -> torch.Tensor:
    x = LAYERS[shape](torch.randn(count, generator=torch.Generator().manual_seed(3)).double())
    return (x - x.mean()) / x.std()


@pytest.mark.parametrize("name", ["ab-tanh", "ab-arctan"])
@pytest.mark.parametrize("shape", ["uniform", "normal", "heavy tails"])
@pytest.mark.parametrize("progress", [0.2, 0.6, 1.0])
def test_k_of_a_layer_gives_its_gradients_the_variance_that_n01_has(name, shape, progress):
    estimator, z = estimators.get(name, adaptive="statistics"), standardised(shape, 4001)
    own = estimator.own(z, progress)
    plain = estimators.get(name)
    a, k = plain.blend(progress)
    normal = np.linspace(-8, 8, 100_001)
    weight = np.exp(-(normal**2) / 2)
    slope = ab(name.removeprefix("ab-"), normal, progress, 0.0, 1.0, a=a, k=k)[1]
    mean = np.average(slope, weights=weight)
    target = np.average((slope - mean) ** 2, weights=weight)
    ours = estimator.surrogate_grad(z, progress, *own).var().item()
    assert ours == pytest.approx(target, rel=2e-2)
    if shape != "normal":
        before = plain.surrogate_grad(z, progress).var().item()
        assert abs(before / target - 1) > 5 * abs(ours / target - 1)


def test_a_heavier_tail_asks_for_another_k_and_a_is_the_schedules():
    estimator = estimators.get("ab-tanh", adaptive="statistics")
    ks = {shape: estimator.own(standardised(shape), 0.6)[0] for shape in LAYERS}
    assert ks["normal"].item() == pytest.approx(5.0**0.6, rel=0.08)  # of a sample
    assert ks["heavy tails"] < ks["normal"] < ks["two humps"]
    a, k = estimator.blend(0.6, ks["heavy tails"])
    assert a == estimators.get("ab-tanh").blend(0.6)[0]
    assert k is ks["heavy tails"]


def test_k_stays_within_its_reach_whatever_the_weights_are():
    def slope(z, k):
        return z * k

    for z in (torch.zeros(100), torch.randn(100) * 1e6, torch.randn(100) * 1e-6):
        assert 0.5 / 8.1 <= same_variance(slope, 0.5, z) <= 0.5 * 8.1


def test_the_sample_covers_the_layer_and_every_position_of_its_kernels():
    weight = torch.arange(256 * 16 * 9).reshape(256, 16, 3, 3)
    picked = sampled(weight)
    assert SAMPLE / 2 < len(picked) <= SAMPLE
    assert set((picked % 9).tolist()) == set(range(9))
    assert picked[-1] > 0.99 * weight.numel()
    assert torch.equal(sampled(weight[:1, :1]), torch.arange(9))
    assert torch.equal(
        sampled(torch.arange(3 * 4095)), torch.arange(0, 3 * 4095, 4)
    )  # not 3, nor 5


def test_the_normal_sample_is_one():
    sample = normal_sample(torch.zeros(1, dtype=torch.float64))
    assert sample.mean().item() == pytest.approx(0, abs=1e-12)
    assert sample.std().item() == pytest.approx(1, abs=1e-3)
