"""One binary weight: its value and its gradient against equations written again in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from binary_models import binarizer
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from binarize import estimators
from binarize.errors import ModelError
from binarize.layers import WeightBinarizer, binarize_weight, freeze
from binarize.layers.scale import Scale

LAYERS = {
    "conv1d": lambda: nn.Conv1d(4, 5, 3),
    "conv2d": lambda: nn.Conv2d(3, 4, 3),
    "depthwise": lambda: nn.Conv2d(6, 6, 3, groups=6),
    "linear": lambda: nn.Linear(7, 3),
    "fan-in 2": lambda: nn.Linear(2, 5),
    "fan-in 1": lambda: nn.Conv2d(4, 4, 1, groups=4),
}
every_layer = pytest.mark.parametrize("layer", LAYERS)


def numpy_scale(centred: np.ndarray, scale: str) -> np.ndarray:
    size = np.abs(centred)
    if scale == "channel":
        return size.mean(axis=1, keepdims=True)
    return np.full((len(size), 1), size.mean() if scale == "layer" else 1.0)


def numpy_binary(
    w: np.ndarray, scale: str = "channel", standardise: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(w_b, s, w - mu, sigma) of w [out, fan_in]; sigma is None where nothing is standardised."""
    if not standardise or w.shape[1] < 2:
        s = numpy_scale(w, scale)
        return np.where(w >= 0, s, -s), s, w, None
    centred = w - w.mean(axis=1, keepdims=True)
    s = numpy_scale(centred, scale)
    sigma = np.sqrt((centred**2).sum(axis=1, keepdims=True) / (w.shape[1] - 1))
    return np.where(centred >= 0, s, -s), s, centred, sigma


def numpy_grad(g: np.ndarray, centred: np.ndarray, sigma: np.ndarray | None) -> np.ndarray:
    """dL/dw from g = dL/dz, through mu and sigma."""
    if sigma is None:
        return g
    fan_in, wide = centred.shape[1], sigma + 1e-8
    through_mu = g - g.mean(axis=1, keepdims=True)
    inner = (g * centred).sum(axis=1, keepdims=True)
    return through_mu / wide - centred * inner / ((fan_in - 1) * sigma * wide**2)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def flat(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy().reshape(len(tensor), -1)


@every_layer
@pytest.mark.parametrize("scale", ["channel", "layer", "none"])
@pytest.mark.parametrize("standardise", [True, False])
def test_the_weight_reads_as_scale_times_sign(layer, scale, standardise):
    module = LAYERS[layer]().double()
    expected, *_ = numpy_binary(flat(module.weight), scale, standardise)
    binarize_weight(module, "weight", binarizer("ste", scale, standardise))
    np.testing.assert_allclose(flat(module.weight), expected, rtol=1e-12)


@every_layer
@pytest.mark.parametrize("estimator", estimators.TABLE)
@pytest.mark.parametrize("standardise", [True, False])
def test_the_gradient_goes_through_mu_and_sigma_but_not_through_the_scale(
    layer, estimator, standardise
):
    module = LAYERS[layer]().double()
    _, s, centred, sigma = numpy_binary(flat(module.weight), standardise=standardise)
    binarize_weight(module, "weight", binarizer(estimator, standardise=standardise))
    module.weight_binarizer.progress = 0.6
    upstream = torch.randn_like(module.weight)
    (grad,) = torch.autograd.grad(module.weight, module._parameters["weight"], upstream)

    z = torch.from_numpy(centred if sigma is None else centred / (sigma + 1e-8))
    own = estimators.get(estimator).own(z, 0.6)
    slope = estimators.get(estimator).surrogate_grad(z, 0.6, *own).numpy()
    expected = numpy_grad(flat(upstream) * s * slope, centred, sigma)
    np.testing.assert_allclose(flat(grad), expected, rtol=1e-7, atol=1e-9)


@given(
    out=st.integers(1, 5),
    fan_in=st.integers(1, 20),
    gain=st.sampled_from([1e-3, 0.05, 1.0, 30.0]),
    shift=st.floats(-1, 1),
    seed=st.integers(0, 99),
)
def test_any_latent_weight_becomes_two_values_per_channel(out, fan_in, gain, shift, seed):
    torch.manual_seed(seed)
    latent = torch.randn(out, fan_in, dtype=torch.float64) * gain + shift
    weight = binarizer()(latent)
    np.testing.assert_allclose(flat(weight), numpy_binary(latent.numpy())[0], rtol=1e-9)
    assert torch.equal(weight.abs(), weight.abs()[:, :1].expand_as(weight))


def test_a_channel_of_equal_weights_gives_zeros_and_a_gradient_that_frees_it():
    module = nn.Linear(4, 2)
    nn.init.zeros_(module.weight)
    binarize_weight(module, "weight", binarizer())
    (module(torch.arange(4.0)[None]) * torch.tensor([1.0, 2.0])).sum().backward()
    assert torch.equal(module.weight, torch.zeros(2, 4))
    grad = module._parameters["weight"].grad
    torch.testing.assert_close(
        grad[1], 2 * grad[0]
    )  # as of the float layer, but for f'(0) and the mean
    torch.testing.assert_close(grad[0] / grad[0, 3], torch.tensor([-1.5, -0.5, 0.5, 1.5]) / 1.5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_latent_weights_are_binarized_in_float32(dtype):
    module = nn.Linear(50, 8).to(dtype)
    latent = module.weight.detach()
    binarize_weight(module, "weight", binarizer("reste"))
    module.weight_binarizer.progress = 1.0
    upstream = torch.randn(8, 50).to(dtype)
    (grad,) = torch.autograd.grad(module.weight, module._parameters["weight"], upstream)

    wide = latent.float().requires_grad_()
    exact = module.weight_binarizer(wide)
    (exact_grad,) = torch.autograd.grad(exact, wide, upstream.float())
    assert module.weight.dtype == grad.dtype == dtype
    assert torch.equal(module.weight, exact.to(dtype))
    assert torch.equal(grad, exact_grad.to(dtype))


def test_two_weights_of_one_module_come_and_go_independently():
    attention = nn.MultiheadAttention(4, 2, kdim=6, vdim=6)
    before = {name: p.detach().clone() for name, p in attention.named_parameters()}
    for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
        binarize_weight(attention, name, binarizer())
    for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
        expected, *_ = numpy_binary(flat(before[name]))
        np.testing.assert_allclose(flat(getattr(attention, name)), expected, rtol=1e-5)
    frozen = freeze(attention)
    assert list(frozen) == ["q_proj_weight", "k_proj_weight", "v_proj_weight"]
    assert type(attention) is nn.MultiheadAttention
    assert not any("binarizer" in name for name, _ in attention.named_modules())


def test_two_layers_of_one_class_share_their_binary_class():
    first, second = nn.Linear(2, 2), nn.Linear(3, 3)
    for layer in (first, second):
        binarize_weight(layer, "weight", binarizer())
    assert type(first) is type(second)
    assert type(first).__name__ == "BinaryLinear"
    assert isinstance(first, nn.Linear)


@pytest.mark.parametrize(
    ("module", "parameter"),
    [
        (nn.Linear(2, 2), "bias"),
        (nn.Linear(2, 2, bias=False), "bias"),
        (nn.Linear(2, 2), "wight"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "weight"),
    ],
    ids=["1-d", "absent", "unknown", "parametrized"],
)
def test_what_is_no_weight_is_refused(module, parameter):
    kind = type(module)
    with pytest.raises(ModelError, match="cannot be binarized"):
        binarize_weight(module, parameter, binarizer())
    assert type(module) is kind


def test_a_weight_is_binarized_once():
    module = nn.Linear(2, 2)
    binarize_weight(module, "weight", binarizer())
    with pytest.raises(ModelError, match="cannot be binarized"):
        binarize_weight(module, "weight", binarizer())


def test_an_error_inside_never_falls_back_to_the_float_weight():
    module = nn.Linear(2, 2)
    binarize_weight(module, "weight", binarizer())
    del module.weight_binarizer.scale
    with pytest.raises(RuntimeError, match="the binary weight cannot be computed"):
        module(torch.ones(1, 2))


def test_a_shift_of_all_weights_changes_no_gradient():
    """mu goes away again: also where it is all but zero, which is not the same as weights without spread."""
    w, g = torch.randn(3, 20, dtype=torch.float64), torch.randn(3, 20, dtype=torch.float64)
    w -= w.mean(1, keepdim=True) - 1e-9
    grads = []
    for shift in (0.0, 1.0):
        latent = (w + shift).requires_grad_()
        (binarizer()(latent) * g).sum().backward()
        grads.append(latent.grad)
    torch.testing.assert_close(*grads)


def test_it_goes_to_the_device_of_its_weight():
    made = binarizer("dsq", "channel")
    made.attach(torch.empty(4, 3, device="meta"))
    assert [parameter.device.type for parameter in made.learned] == ["meta"]


def test_what_is_not_standardised_is_its_own_z():
    w = torch.randn(3, 5)
    (z,) = binarizer(standardise=False).standardised(w)
    assert torch.equal(z, w)


def test_it_says_what_it_is():
    said = binarizer("ede").extra_repr()
    assert said == f"{estimators.get('ede')}, scale=channel, standardise=True"
    two = WeightBinarizer(estimators.get("ede"), Scale("channel", 2))
    assert two.extra_repr() == f"{said}, bases=2"
