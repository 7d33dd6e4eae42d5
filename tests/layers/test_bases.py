"""Several bases: values and bits of the sum, its gradient in closed form, what they go together with."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import CondConv2d
from torch import Tensor, nn

from binarize import estimators
from binarize.errors import BinarizeError
from binarize.layers import StepBinarizer, WeightBinarizer, binarize_weight, freeze, scale

every_number = pytest.mark.parametrize("bases", [2, 3, 4])


def binarizer(
    bases: int, name: str = "ab-tanh", by: str = "channel", **rest: bool
) -> WeightBinarizer:
    constants = {"adaptive": "learned"} if name == "ab-arctan" else {}
    made = WeightBinarizer(estimators.get(name, **constants), scale.get(by, bases), **rest)
    made.progress = 0.6
    return made


def bases_of(made: WeightBinarizer, w: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(±1 [bases, out, …], scales [bases, out, 1, …]), as they are exported."""
    frozen = made.frozen(w)
    scales = frozen.scale.reshape(*frozen.scale.shape, *[1] * (w.ndim - 1))
    return np.where(frozen.positive.numpy(), 1.0, -1.0), scales.numpy()


@settings(max_examples=30)
@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    bases=st.integers(2, 4),
    by=st.sampled_from(scale.SEVERAL),
    heavy=st.booleans(),
)
def test_the_weight_is_the_sum_of_what_is_exported(shape, bases, by, heavy):
    torch.manual_seed(0)
    w = torch.randn(shape, dtype=torch.float64)
    w = w**3 if heavy else w
    made = binarizer(bases, by=by)
    signs, scales = bases_of(made, w)
    assert signs.shape == (bases, *shape)
    np.testing.assert_allclose(made(w).numpy(), (signs * scales).sum(0), rtol=1e-14)
    torch.testing.assert_close(made.frozen(w).value, made(w), rtol=1e-14, atol=0)
    assert np.array_equal(signs[0] > 0, w.numpy() >= 0)
    assert (scales == scales[:, :1]).all() or by == "channel"


def test_two_bases_have_the_nearest_signs_and_nearly_the_best_scales():
    torch.manual_seed(1)
    w = torch.randn(5, 200, dtype=torch.float64)
    signs, scales = bases_of(binarizer(2), w)
    values = [a * scales[0] + b * scales[1] for a, b in itertools.product([1, -1], repeat=2)]
    nearest = np.min([np.abs(w.numpy() - value) for value in values], 0)
    np.testing.assert_allclose(np.abs(w.numpy() - (signs * scales).sum(0)), nearest, atol=1e-14)
    for row in range(5):
        a, target = signs[:, row].T, w[row].numpy()
        best = np.linalg.lstsq(a, target, rcond=None)[0]
        np.testing.assert_allclose(scales[:, row, 0], best, rtol=0.04)


@every_number
def test_the_scales_are_those_of_the_rounds_written_again_in_numpy(bases):
    """Of w itself, where the code takes |w|."""
    torch.manual_seed(4)
    latent = torch.randn(5, 24, dtype=torch.float64)
    w = latent.numpy()
    sign = lambda r: np.where(r >= 0, 1.0, -1.0)  # noqa: E731
    mean = lambda r: r.mean(1, keepdims=True)  # noqa: E731
    scales, rest = [], w
    for _ in range(bases):
        scales.append(mean(np.abs(rest)))
        rest = rest - scales[-1] * sign(rest)
    for _ in range(3):
        signs, rest = [], w
        for s in scales:
            signs.append(sign(rest))
            rest = rest - s * signs[-1]
        for k, b in enumerate(signs):
            change = mean(b * rest)
            scales[k] = scales[k] + change
            rest = rest - change * b
    np.testing.assert_allclose(scale.get("channel", bases)(latent).numpy(), scales, rtol=1e-12)


@every_number
def test_every_base_has_a_z_with_its_signs(bases):
    torch.manual_seed(5)
    w = torch.randn(6, 4, 3, 3)
    made = binarizer(bases)
    z = made.standardised(w)
    assert [np.where(one >= 0, 1.0, -1.0).tolist() for one in z] == bases_of(made, w)[0].tolist()
    residual = w.numpy() - (bases_of(made, w)[0] * bases_of(made, w)[1])[0]
    deviation = np.sqrt((residual**2).sum((1, 2, 3), keepdims=True) / 35)
    np.testing.assert_allclose(z[1].numpy(), residual / deviation, rtol=1e-4, atol=1e-5)


def test_every_base_brings_the_weight_nearer():
    torch.manual_seed(2)
    w = torch.randn(64, 2048)
    errors = [float((binarizer(k)(w) - w).square().mean()) for k in (1, 2, 3, 4)]
    for fewer, more in itertools.pairwise(errors):
        assert more < 0.6 * fewer
    assert errors[1] < 1.005 * 0.1175 * float(w.square().mean())  # 0.1175: of any four values


@every_number
@pytest.mark.parametrize("standardise", [True, False])
def test_the_gradient_is_the_closed_form(bases, standardise):
    """AB-Tanh, written again in numpy: from the last base to the first."""
    torch.manual_seed(3)
    w = torch.randn(4, 18, dtype=torch.float64, requires_grad=True)
    gain = torch.rand(4, 1, dtype=torch.float64, requires_grad=True)
    made = binarizer(bases, standardise=standardise)
    upstream = torch.randn(4, 18, dtype=torch.float64)
    grads = torch.autograd.grad(made(w, gain=gain), (w, gain), upstream)

    signs, scales = bases_of(made, w.detach())
    g, n = gain.detach().numpy() * upstream.numpy(), 18
    a, k = 0.8 * (1 - np.cos(0.3 * np.pi)), 5**0.6
    residuals = [w.detach().numpy() - (signs[:j] * scales[:j]).sum(0) for j in range(bases)]
    expected = np.zeros((4, 18))
    for r, s in reversed(list(zip(residuals, scales, strict=True))):
        sigma = np.sqrt((r**2).sum(1, keepdims=True) / (n - 1))
        z = r / (sigma + 1e-8) if standardise else r
        d = (g - expected) * ((1 - a) + a * k / np.cosh(k * z) ** 2 / np.tanh(k))
        if standardise:
            inner = (sigma + 1e-8) / ((n - 1) * sigma) * (d * z).sum(1, keepdims=True)
            expected = expected + s / (sigma + 1e-8) * (d - inner * z)
        else:
            expected = expected + s * d
    np.testing.assert_allclose(grads[0], expected, rtol=1e-10, atol=1e-12)
    to_gain = (upstream.numpy() * (signs * scales).sum(0)).sum(1, keepdims=True)
    np.testing.assert_allclose(grads[1], to_gain, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", estimators.TABLE)
def test_every_estimator_is_what_autograd_makes_of_the_equations(name):
    """With what an estimator learns, of which every base has a share."""
    torch.manual_seed(4)
    w = torch.randn(5, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    made = binarizer(3, name).double()
    rest, steps = w, 0
    for s in made.scale(w):
        sigma = (rest.square().sum((1, 2, 3), keepdim=True) / 17).sqrt()
        base = s * made.estimator(rest / (sigma + 1e-8), 0.6, *made.learned)
        rest, steps = rest - base, steps + base
    upstream = torch.randn_like(w)
    wrt = (w, *made.parameters())
    grads = torch.autograd.grad(made(w), wrt, upstream)
    for grad, wanted in zip(grads, torch.autograd.grad(steps, wrt, upstream), strict=True):
        torch.testing.assert_close(grad, wanted, rtol=1e-9, atol=1e-11)


def test_where_the_surrogate_is_the_identity_little_is_lost_of_the_gradient():
    """Unlike one base, of which a normally distributed weight gets 0.8 of it."""
    torch.manual_seed(5)
    w = torch.randn(4, 4096, requires_grad=True)
    upstream = torch.randn(4, 4096)
    for bases, share in ((1, 0.8), (2, 0.99), (3, 1.0)):
        (grad,) = torch.autograd.grad(binarizer(bases, "ste")(w), w, upstream)
        found = float((grad * upstream).sum() / upstream.square().sum())
        assert found == pytest.approx(share, abs=0.015)


@every_number
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_filter_of_one_value_learns(bases, value):
    torch.manual_seed(6)
    w = (0.05 * torch.randn(4, 3, 3, 3)).requires_grad_()
    with torch.no_grad():
        w[1] = value
    made, wanted = binarizer(bases), torch.randn(4, 3, 3, 3)
    optimizer = torch.optim.SGD([w], lr=0.02)
    before = w.detach().clone()
    for _ in range(12):
        optimizer.zero_grad()
        (made(w) - wanted).square().sum().backward()
        assert w.grad.isfinite().all()
        optimizer.step()
    moved = (w.detach() - before).abs().amax((1, 2, 3))
    others = moved[[0, 2, 3]]
    assert 0.02 * others.min() < moved[1] < 50 * others.max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_weights_are_computed_in_float32(dtype):
    w = torch.randn(6, 50).to(dtype).requires_grad_()
    wide = w.detach().float().requires_grad_()
    assert torch.equal(binarizer(2)(w), binarizer(2)(wide).to(dtype))
    (grad,) = torch.autograd.grad(binarizer(2)(w).sum(), w)
    (expected,) = torch.autograd.grad(binarizer(2)(wide).sum(), wide)
    torch.testing.assert_close(grad, expected.to(dtype))


@pytest.mark.parametrize("by", sorted(set(scale.NAMES) - set(scale.SEVERAL)))
def test_other_scales_are_refused(by):
    with pytest.raises(BinarizeError) as caught:
        scale.get(by, 2)
    assert caught.value.message == f'scale "{by}" cannot have 2 bases'
    assert caught.value.hint == "the scales of several bases are channel and layer"


@pytest.mark.parametrize("bases", [0, 5, -1])
def test_so_are_other_numbers(bases):
    with pytest.raises(BinarizeError, match=f"a weight cannot have {bases} bases"):
        scale.get("channel", bases)


@pytest.mark.parametrize("training", [True, False])
def test_a_layer_with_a_binary_input_multiplies_by_the_sum(training):
    torch.manual_seed(7)
    conv = nn.Conv2d(4, 6, 3, padding=1)
    inputs = StepBinarizer(4, -3)
    keys = set(conv.state_dict())
    binarize_weight(conv, "weight", binarizer(2), inputs)
    conv.train(training)
    x = torch.randn(2, 4, 6, 6)
    expected = nn.functional.conv2d(inputs(x) * inputs.scale, conv.weight[:], conv.bias, padding=1)
    torch.testing.assert_close(conv(x), expected)
    added = {key for key in conv.state_dict() if key not in keys}
    assert added == {"weight_binarizer.inputs.threshold", "weight_binarizer.inputs.scale"}


def test_frozen_it_computes_the_same():
    torch.manual_seed(8)
    linear, experts = nn.Linear(9, 5), CondConv2d(3, 4, 3, num_experts=2)
    net = nn.ModuleDict({"linear": linear, "experts": experts}).eval()
    for module in net.values():
        binarize_weight(module, "weight", binarizer(3))
    x, image, routing = torch.randn(2, 9), torch.randn(2, 3, 5, 5), torch.rand(2, 2)
    before = linear(x), experts(image, routing)
    frozen = freeze(net)
    assert {key: tuple(weight.positive.shape) for key, weight in frozen.items()} == {
        "linear.weight": (3, 5, 9),
        "experts.expert0": (3, 4, 3, 3, 3),
        "experts.expert1": (3, 4, 3, 3, 3),
    }
    torch.testing.assert_close(linear(x), before[0])
    torch.testing.assert_close(experts(image, routing), before[1], rtol=1e-4, atol=1e-5)
