"""The estimator of a layer: its parameters there, and another one in its place."""

from __future__ import annotations

import pytest
import torch
from binary_models import binarizer
from torch import nn

from binarize import estimators
from binarize.layers import StepBinarizer, binarize_weight

LEARNING = estimators.get("ab-tanh", adaptive="learned", a_start=0.25)


def layer(estimator: estimators.Estimator | None = None, inputs: bool = False) -> nn.Linear:
    torch.manual_seed(0)
    linear = nn.Linear(12, 5)
    made = binarizer()
    if estimator is not None:
        made.use(estimator)
    binarize_weight(linear, "weight", made, StepBinarizer(12, -1) if inputs else None)
    return linear


def names(linear: nn.Linear) -> list[str]:
    return [name for name, _ in linear.named_parameters()]


def test_what_an_estimator_learns_is_a_parameter_of_the_layer():
    linear = layer(LEARNING)
    assert names(linear) == ["weight", "bias", "weight_binarizer.theta"]
    theta = linear.weight_binarizer.theta
    assert theta.shape == ()
    assert theta.sigmoid().item() == pytest.approx(0.25)


@pytest.mark.parametrize("inputs", [False, True])
def test_it_is_trained(inputs):
    linear = layer(LEARNING, inputs)
    linear.weight_binarizer.progress = 0.5
    before = linear.weight_binarizer.theta.item()
    linear(torch.randn(4, 12)).square().sum().backward()
    torch.optim.SGD(linear.parameters(), lr=0.1).step()
    assert linear.weight_binarizer.theta.item() != before


def test_its_gradient_is_that_of_the_signs_without_the_scale():
    linear = layer(LEARNING)
    made, latent = linear.weight_binarizer, linear._parameters["weight"]
    made.progress = 0.8
    upstream = torch.randn(5, 12)
    (grad,) = torch.autograd.grad(linear.weight, made.theta, upstream)
    (z,) = made.standardised(latent.detach())
    s = (latent - latent.mean(1, keepdim=True)).detach().abs().mean(1, keepdim=True)
    a, k = 0.25, 5**0.8
    expected = (upstream * s * (torch.tanh(k * z) / torch.tanh(torch.tensor(k)) - z)).sum()
    torch.testing.assert_close(grad, expected * a * (1 - a), rtol=1e-5, atol=1e-6)


def test_another_estimator_takes_its_place_with_its_parameters():
    linear = layer(LEARNING)
    made = linear.weight_binarizer
    made.use(estimators.get("dsq"))
    assert names(linear) == ["weight", "bias", "weight_binarizer.theta"]
    assert made.theta.sigmoid().item() == pytest.approx(0.2)
    made.use(estimators.get("reste"))
    assert names(linear) == ["weight", "bias"]
    assert made.learned == ()
    made.progress = 0.9
    latent, upstream = linear._parameters["weight"], torch.randn(5, 12)
    (grad,) = torch.autograd.grad(linear.weight, latent, upstream)
    fresh = layer(estimators.get("reste"))
    fresh.weight_binarizer.progress = 0.9
    (expected,) = torch.autograd.grad(fresh.weight, fresh._parameters["weight"], upstream)
    assert torch.equal(grad, expected)


@pytest.mark.parametrize("move", ["attach", "to"])
def test_it_begins_where_the_layer_is(move):
    """The meta device stands for a GPU here."""
    linear = layer()
    if move == "attach":
        linear.weight_binarizer.attach(torch.empty(3, 4, device="meta"))
    else:
        linear.to("meta")
    linear.weight_binarizer.use(LEARNING)
    assert linear.weight_binarizer.theta.is_meta


@pytest.mark.parametrize(
    ("saved", "loaded"), [(None, LEARNING), (LEARNING, None), (LEARNING, estimators.get("dsq"))]
)
def test_checkpoints_load_whatever_estimator_they_were_made_with(saved, loaded):
    before, after = layer(saved), layer(loaded)
    with torch.no_grad():
        before._parameters["weight"].mul_(-2)
    after.load_state_dict(before.state_dict())
    assert torch.equal(after.weight, before.weight)


def test_a_float_checkpoint_loads_strictly():
    linear = layer(LEARNING)
    linear.load_state_dict(nn.Linear(12, 5).state_dict())


def test_a_key_that_nothing_knows_is_still_refused():
    linear = layer(LEARNING)
    state = linear.state_dict() | {"weight_binarizer.other.theta": torch.zeros(())}
    with pytest.raises(RuntimeError, match="Unexpected key"):
        linear.load_state_dict(state)


@pytest.mark.parametrize("name", estimators.TABLE)
def test_a_layer_tells_its_own_values_to_whoever_asks(name):
    linear = layer(estimators.get(name))
    made = linear.weight_binarizer
    (z,) = made.standardised(linear._parameters["weight"].detach())
    own = made.own(z)
    f = made.estimator.surrogate(z, made.progress, *own)
    assert f.shape == z.shape
    assert not f.requires_grad
    assert len(own) == (1 if name in ("recu", "dsq") else 0)
