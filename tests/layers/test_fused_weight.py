"""The binary weight as one node: the values, gradients and memory of the same equations step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from binary_models import binarizer
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from binarize import estimators
from binarize.layers import StepBinarizer, WeightBinarizer, binarize_weight, scale

LEARNERS = {"dsq": {}, "ab-tanh": {"adaptive": "learned"}, "ab-arctan": {"adaptive": "learned"}}
every_estimator = pytest.mark.parametrize("name", estimators.TABLE)
every_scale = pytest.mark.parametrize("scale_name", scale.NAMES)


def step_by_step(
    latent: Tensor, made: WeightBinarizer, gain: Tensor | None = None, theta: Tensor | None = None
) -> Tensor:
    """w_b as autograd has it, one operation after another; `theta` of a learned scale."""
    dims = tuple(range(1, latent.ndim))
    centred = z = latent
    if made.standardise and latent[0].numel() > 1:
        centred = latent - latent.mean(dims, keepdim=True)
        z = centred / (centred.std(dims, keepdim=True) + 1e-8)
    signs = made.estimator(z, made.progress, *made.learned)
    size = centred.abs()
    s = {
        "channel": size.mean(dims, keepdim=True).detach(),
        "channel-in-graph": size.mean(dims, keepdim=True),
        "layer": size.mean().detach(),
        "power-of-two": 2 ** size.mean(dims, keepdim=True).log2().round().detach(),
        "none": 1.0,
    }
    by = s[made.scale.name] if theta is None else theta.abs().reshape(-1, *[1] * len(dims))
    return by * signs if gain is None else gain * by * signs


def made_of(name: str, scale_name: str, standardise: bool, latent: Tensor) -> WeightBinarizer:
    constants = LEARNERS.get(name, {})
    made = WeightBinarizer(estimators.get(name, **constants), scale.get(scale_name), standardise)
    made.progress = 0.6
    made.attach(latent)
    return made.to(latent.dtype)


def check(latent: Tensor, made: WeightBinarizer, gain: Tensor | None = None) -> None:
    upstream = torch.randn(latent.shape, dtype=latent.dtype)
    learned = [*made.parameters(), *([] if gain is None else [gain])]
    ours = made(latent, gain=gain)
    theirs = step_by_step(latent, made, gain, made.learned_scale)
    torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=0)
    grads = torch.autograd.grad(ours, (latent, *learned), upstream)
    expected = torch.autograd.grad(theirs, (latent, *learned), upstream)
    for grad, wanted in zip(grads, expected, strict=True):
        size = 1 + wanted.abs().max().item()  # of two weights, the gradient cancels
        torch.testing.assert_close(grad, wanted, rtol=0, atol=1e-12 * size)


@every_estimator
@every_scale
@pytest.mark.parametrize("standardise", [True, False])
def test_it_is_what_autograd_makes_of_the_equations(name, scale_name, standardise):
    torch.manual_seed(0)
    latent = torch.randn(5, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    gain = torch.rand(5, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    made = made_of(name, scale_name, standardise, latent)
    check(latent, made)
    check(latent, made, gain)


@settings(max_examples=30)
@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    name=st.sampled_from(sorted(estimators.TABLE)),
    scale_name=st.sampled_from(scale.NAMES),
    gain=st.sampled_from([None, "number", "channel"]),
    progress=st.floats(0, 1),
)
def test_of_any_shape(shape, name, scale_name, gain, progress):
    torch.manual_seed(1)
    latent = (0.05 * torch.randn(shape, dtype=torch.float64)).requires_grad_()
    made = made_of(name, scale_name, True, latent)
    made.progress = progress
    sizes = {None: None, "number": [1], "channel": [shape[0], *[1] * (len(shape) - 1)]}[gain]
    by = None if sizes is None else torch.rand(sizes, dtype=torch.float64).requires_grad_()
    check(latent, made, by)


def test_it_is_the_closed_form():
    """AB-Tanh, standardised, per channel: written again in numpy."""
    torch.manual_seed(2)
    latent = torch.randn(4, 18, dtype=torch.float64, requires_grad=True)
    made = made_of("ab-tanh", "channel-in-graph", True, latent)
    made.use(estimators.get("ab-tanh"))
    upstream = torch.randn(4, 18, dtype=torch.float64)
    (grad,) = torch.autograd.grad(made(latent), latent, upstream)

    w, g, n = latent.detach().numpy(), upstream.numpy(), 18
    c = w - w.mean(1, keepdims=True)
    sigma, signs = c.std(1, ddof=1, keepdims=True), np.where(c >= 0, 1.0, -1.0)
    s = np.abs(c).mean(1, keepdims=True)
    z = c / (sigma + 1e-8)
    a, k = 0.8 * (1 - np.cos(0.3 * np.pi)), 5**0.6
    d = g * s * ((1 - a) + a * k / np.cosh(k * z) ** 2 / np.tanh(k))
    through = (d - d.mean(1, keepdims=True)) / (sigma + 1e-8)
    through -= c * (d * c).sum(1, keepdims=True) / ((n - 1) * sigma * (sigma + 1e-8) ** 2)
    by_scale = (g * signs).sum(1, keepdims=True) * signs / n
    expected = through + by_scale - by_scale.mean(1, keepdims=True)
    np.testing.assert_allclose(grad, expected, rtol=1e-10, atol=1e-12)


@every_scale
def test_a_channel_of_equal_weights_has_finite_gradients(scale_name):
    latent = torch.full((2, 4), 0.3, requires_grad=True)
    made = made_of("ab-tanh", scale_name, True, latent)
    made(latent).sum().backward()
    assert latent.grad.isfinite().all()


@every_estimator
@every_scale
@pytest.mark.parametrize(("value", "standardise"), [(0.0, True), (0.3, True), (0.0, False)])
def test_a_filter_of_one_value_learns_at_the_pace_of_the_others(
    name, scale_name, standardise, value
):
    """It is neither stuck nor torn away: zero-initialised and pruned filters have to come to life."""
    torch.manual_seed(6)
    latent = (0.05 * torch.randn(4, 3, 3, 3)).requires_grad_()
    with torch.no_grad():
        latent[1] = value
    made = made_of(name, scale_name, standardise, latent)
    made.progress = 0.3
    wanted = torch.randn(4, 3, 3, 3)
    optimizer = torch.optim.SGD([latent, *made.parameters()], lr=0.02)
    before = latent.detach().clone()
    for _ in range(12):
        optimizer.zero_grad()
        (made(latent) - wanted).square().sum().backward()
        assert latent.grad.isfinite().all()
        optimizer.step()
    moved = (latent.detach() - before).abs().amax((1, 2, 3))
    others = moved[[0, 2, 3]]
    assert 0.02 * others.min() < moved[1] < 50 * others.max()
    assert len(made(latent)[1].unique()) == 2
    assert (made(latent)[1] * wanted[1]).mean() > 0


@every_scale
def test_a_filter_of_one_value_leaves_the_gradients_of_the_others_alone(scale_name):
    torch.manual_seed(7)
    latent = torch.randn(4, 3, 3, 3, requires_grad=True)
    upstream = torch.randn_like(latent)
    grads = []
    for value in (0.0, 1.0):
        with torch.no_grad():
            latent[2] = value
            latent[2, 0, 0, 0] = 0.0 if value == 0 else latent[2].mean()
        made = made_of("ede", scale_name, True, latent)
        grads.append(torch.autograd.grad(made(latent), latent, upstream)[0])
    others = [0, 1, 3]
    assert torch.equal(grads[0][others], grads[1][others])


def test_there_is_no_second_derivative():
    latent = torch.randn(4, 9, requires_grad=True)
    made = made_of("ede", "channel", True, latent)
    (grad,) = torch.autograd.grad(made(latent).square().sum(), latent, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.square().sum().backward()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@every_scale
def test_narrow_weights_are_computed_in_float32(dtype, scale_name):
    torch.manual_seed(3)
    latent = torch.randn(6, 50).to(dtype).requires_grad_()
    made = made_of("reste", scale_name, True, latent)
    upstream = torch.randn(6, 50).to(dtype)
    grads = torch.autograd.grad(made(latent), (latent, *made.parameters()), upstream)
    wide = latent.detach().float().requires_grad_()
    exact = made.float()(wide)
    expected = torch.autograd.grad(exact, (wide, *made.parameters()), upstream.float())
    assert torch.equal(made.to(dtype)(latent), exact.to(dtype))
    for grad, wanted in zip(grads, expected, strict=True):
        assert grad.dtype == dtype
        assert torch.equal(grad, wanted.to(dtype))


def kept_bytes(run: object) -> int:
    """Bytes of the storages that a forward keeps for its backward."""
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return sum(storages.values())


@every_estimator
@every_scale
def test_the_backward_keeps_the_latent_weight_and_vectors(name, scale_name):
    latent = torch.randn(8, 16, 3, 3, requires_grad=True)
    made = made_of(name, scale_name, True, latent)
    vectors = 6 * 8 * 4  # at most six of [8] in float32
    assert kept_bytes(lambda: made(latent)) <= latent.nbytes + vectors


def test_so_does_a_layer_with_a_binary_input_while_it_trains():
    conv = nn.Conv2d(16, 8, 3)
    binarize_weight(conv, "weight", binarizer(), StepBinarizer(16, -3))
    x = torch.randn(1, 16, 5, 5)
    binary = (
        x.nbytes + 4 * 16
    )  # what the input's own gradient needs, and what the convolution keeps of it
    weights = (
        2 * conv._parameters["weight"].nbytes
    )  # the latent one, and what the convolution multiplies
    assert kept_bytes(lambda: conv(x)) <= weights + 2 * binary + 6 * 8 * 4


def test_a_binary_input_trains_the_same_as_apart():
    """In training the scales go into the weight; in evaluation they come after the sum."""
    torch.manual_seed(4)
    grads = {}
    for training in (True, False):
        torch.manual_seed(5)
        conv = nn.Conv2d(4, 6, 3).double()
        binarize_weight(conv, "weight", binarizer("reste"), StepBinarizer(4, -3))
        conv.double().train(training)
        conv.weight_binarizer.progress = 0.7
        x = torch.randn(2, 4, 6, 6, dtype=torch.float64, requires_grad=True)
        y = conv(x)
        latent = conv._parameters["weight"]
        grads[training] = torch.autograd.grad(y.square().sum(), (x, latent))
    for trained, apart in zip(grads[True], grads[False], strict=True):
        torch.testing.assert_close(trained, apart, rtol=1e-10, atol=1e-12)


@every_scale
def test_apart_are_the_signs_and_the_scale_of_the_whole(scale_name):
    latent = torch.randn(5, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    made = made_of("ede", scale_name, True, latent)
    upstream = torch.randn_like(latent)
    signs, s = made(latent, return_scale=True)
    assert torch.equal(s * signs, made(latent))
    wrt = (latent, *made.parameters())
    for apart, whole in zip(
        torch.autograd.grad(s * signs, wrt, upstream),
        torch.autograd.grad(made(latent), wrt, upstream),
        strict=True,
    ):
        torch.testing.assert_close(apart, whole, rtol=1e-10, atol=1e-12)


class TestCompiled:
    """One graph, without a break, that is not made again for every progress."""

    def grads(self, function: object, latent: Tensor, made: WeightBinarizer) -> tuple[Tensor, ...]:
        output = function(latent)
        upstream = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
        return (output, *torch.autograd.grad(output, (latent, *made.parameters()), upstream))

    def check(self, made: WeightBinarizer, latent: Tensor) -> None:
        torch._dynamo.reset()
        graphs = []
        compiled = torch.compile(
            made, backend=lambda graph, _: graphs.append(graph) or graph, fullgraph=True
        )
        for progress in (0.0, 0.13, 0.39, 0.55, 0.81):
            made.progress = progress
            ours, theirs = (self.grads(f, latent, made) for f in (compiled, made))
            for found, expected in zip(ours, theirs, strict=True):
                torch.testing.assert_close(found, expected)
        assert 1 <= len(graphs) <= 2  # progress as a constant, then as an input

    @every_estimator
    def test_every_estimator(self, name):
        latent = torch.randn(4, 3, 3, 3, requires_grad=True)
        self.check(made_of(name, "channel", True, latent), latent)

    @every_scale
    def test_every_scale(self, scale_name):
        latent = torch.randn(4, 12, requires_grad=True)
        self.check(made_of("ste", scale_name, True, latent), latent)

    def test_statistics(self):
        latent = torch.randn(4, 3, 3, 3, requires_grad=True)
        made = made_of("ste", "channel", True, latent)
        made.use(estimators.get("ab-arctan", adaptive="statistics"))
        self.check(made, latent)

    @pytest.mark.parametrize("training", [True, False])
    def test_a_layer_with_a_binary_input(self, training):
        torch._dynamo.reset()
        conv = nn.Conv2d(4, 6, 3)
        binarize_weight(conv, "weight", binarizer(), StepBinarizer(4, -3))
        conv.train(training)
        x = torch.randn(2, 4, 6, 6)
        compiled = torch.compile(conv, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), conv(x))
