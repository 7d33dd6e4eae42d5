"""Binary inputs: values, surrogate gradients and calibration against equations written again in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from binarize.errors import BinarizeError
from binarize.layers import IMBALANCED, SignBinarizer, StepBinarizer, activation
from binarize.layers.calibrate import Calibration

shapes = st.sampled_from([(2, 3, 4, 5), (1, 3, 7), (2, 3, 2, 3, 2)])


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(shapes, st.integers(0, 99), st.floats(-1, 1))
def test_a_step_is_1_from_its_threshold_on(shape, seed, threshold):
    step, x = StepBinarizer(3, -3), drawn(shape, seed)
    with torch.no_grad():
        step.threshold.fill_(threshold)
    x.view(-1)[0] = step.threshold.item()
    assert np.array_equal(step(x).detach(), np.where(x.numpy() >= np.float32(threshold), 1, 0))


@given(st.integers(0, 99))
def test_a_sign_is_shifted_by_channel_and_0_is_positive(seed):
    sign, x = SignBinarizer(3, -3), drawn((2, 3, 4, 4), seed)
    shift = drawn((3,), seed + 100)
    with torch.no_grad():
        sign.shift.copy_(shift)
    x[0, 1, 0, 0] = -shift[1]
    expected = np.where(x.numpy() + shift.numpy()[:, None, None] >= 0, 1, -1)
    assert np.array_equal(sign(x).detach(), expected)
    assert sign(x)[0, 1, 0, 0] == 1


def test_a_sign_on_tokens_shifts_the_last_axis():
    sign, x = SignBinarizer(4, -1), drawn((2, 3, 4), 0)
    with torch.no_grad():
        sign.shift.copy_(torch.tensor([9.0, -9.0, 0.0, 0.0]))
    assert torch.equal(sign(x)[..., 0], torch.ones(2, 3))
    assert torch.equal(sign(x)[..., 1], -torch.ones(2, 3))


@given(st.integers(0, 99), st.floats(0.1, 2))
def test_the_gradient_of_a_step(seed, scale):
    """da/dx = 1 within s of the threshold; a = s·b, so what reaches b is s times what reaches a."""
    step, x = StepBinarizer(3, -3), drawn((2, 3, 4, 4), seed).requires_grad_()
    with torch.no_grad():
        step.scale.fill_(scale)
        step.threshold.fill_(0.25)
    upstream = drawn(x.shape, seed + 1)
    (step(x) * step.slowed_scale(x) * upstream).sum().backward()
    near = np.abs(x.detach().numpy() - 0.25) <= np.float32(scale)
    expected = np.where(near, upstream.numpy(), 0)
    np.testing.assert_allclose(x.grad, expected, rtol=1e-5, atol=1e-6)
    per_image = np.sqrt(3 * 4 * 4)
    np.testing.assert_allclose(step.threshold.grad, [-expected.sum() / per_image], atol=1e-4)
    ones = x.detach().numpy() >= 0.25
    np.testing.assert_allclose(
        step.scale.grad, [(ones * upstream.numpy()).sum() / per_image], atol=1e-4
    )


@given(st.integers(0, 99), st.floats(0.2, 3))
def test_the_gradient_of_a_sign(seed, scale):
    """Bi-Real Net's 2 - 2|u| for |u| < 1, at u = (x + shift)/s."""
    sign, x = SignBinarizer(3, -3), drawn((2, 3, 4, 4), seed).requires_grad_()
    shift = drawn((3,), seed + 1)
    with torch.no_grad():
        sign.shift.copy_(shift)
        sign.scale.fill_(scale)
    upstream = drawn(x.shape, seed + 2)
    (sign(x) * sign.scale * upstream).sum().backward()
    u = (x.detach().numpy() + shift.numpy()[:, None, None]) / np.float32(scale)
    slope = np.where(np.abs(u) < 1, 2 - 2 * np.abs(u), 0)
    expected = upstream.numpy() * slope
    np.testing.assert_allclose(x.grad, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sign.shift.grad, expected.sum((0, 2, 3)), atol=1e-4)


def test_calibration_finds_the_best_two_levels():
    """Against every threshold on a grid, with the scale that fits it best."""
    x = drawn((8, 3, 16, 16), 3).relu()
    threshold, scale = (float(value) for value in StepBinarizer(3, -3).best(x))
    values = x.numpy().ravel()

    def error(t: float, s: float) -> float:
        return float(np.mean((values - s * (values >= t)) ** 2))

    grid = np.linspace(0.05, 2.5, 200)
    best = min(error(t, values[values >= t].mean()) for t in grid)
    assert error(threshold, scale) == pytest.approx(best, rel=1e-3)


def test_a_step_that_would_be_constant_splits_at_the_mean():
    x = 5 + 0.1 * drawn((4, 3, 8, 8), 1)
    step = StepBinarizer(3, -3)
    threshold, _ = step.best(x)
    assert float(threshold) == pytest.approx(5, abs=0.1)


def test_a_step_whose_first_threshold_no_input_reaches_splits_at_the_mean():
    threshold, scale = StepBinarizer(3, -1).best(torch.tensor([[-10.0, -10.0, 1.0]]))
    assert float(threshold) == pytest.approx(-19 / 3)
    assert float(scale) == pytest.approx(1)


@pytest.mark.parametrize("kind", [StepBinarizer, SignBinarizer])
@pytest.mark.parametrize("value", [0.0, -3.0, 1e-30])
def test_calibration_on_a_constant_stays_finite_and_is_called_saturated(kind, value):
    binarizer = kind(3, -3)
    x = torch.full((2, 3, 4, 4), value)
    binarizer.start_calibration()
    binarizer(x)
    binarizer.calibrating, binarizer.watching = False, True
    x.requires_grad_()
    (binarizer(x) * binarizer.slowed_scale(x)).sum().backward()
    assert binarizer.scale.isfinite().all()
    assert (binarizer.scale > 0).all()
    assert x.grad.isfinite().all()
    assert binarizer.imbalance > IMBALANCED


def test_calibration_over_batches_is_the_mean_of_what_each_would_choose():
    batches = [drawn((4, 3, 5, 5), seed) + seed for seed in range(3)]
    sign = SignBinarizer(3, -3)
    sign.start_calibration()
    for batch in batches:
        sign(batch)
    expected = -np.stack([batch.numpy().mean((0, 2, 3)) for batch in batches]).mean(0)
    np.testing.assert_allclose(sign.shift.detach(), expected, rtol=1e-5)
    sign.start_calibration()
    sign(batches[0])
    np.testing.assert_allclose(sign.shift.detach(), -batches[0].numpy().mean((0, 2, 3)), rtol=1e-5)


def test_saturation_is_the_share_of_the_commoner_value():
    step = StepBinarizer(1, -3)
    step.watching = True
    step(torch.tensor([0.0, 0.0, 0.0, 1.0]).reshape(1, 1, 2, 2))
    assert step.density == 0.25
    assert step.imbalance == 0.75


@pytest.mark.parametrize("kind", [StepBinarizer, SignBinarizer])
def test_half_precision_in_half_precision_out(kind):
    binary = kind(3, -3)(drawn((2, 3, 4, 4), 0).bfloat16())
    assert binary.dtype == torch.bfloat16


@pytest.mark.parametrize("kind", [StepBinarizer, SignBinarizer])
def test_the_slope_that_parity_is_measured_with_has_the_same_ends_as_the_step(kind):
    binarizer = kind(3, -3)
    x = torch.linspace(-9, 9, 3 * 33).reshape(1, 3, 33, 1)
    slope = binarizer.smooth(x)
    assert torch.equal(slope[x.abs() > 5], binarizer(x)[x.abs() > 5])
    assert (slope[:, :, 1:] - slope[:, :, :-1]).abs().max() < 0.2


def test_activations_that_there_are_not():
    with pytest.raises(BinarizeError, match='no activations "stpe"') as caught:
        activation.check("stpe")
    assert "step" in caught.value.hint


def test_a_layer_is_called_imbalanced_above_the_share_only():
    found = Calibration(1, {"at": IMBALANCED, "above": IMBALANCED + 1e-6, "below": 0.5})
    assert found.imbalanced == {"above": IMBALANCED + 1e-6}
