"""The table of scales: values, where the gradient goes, and the parameter of a learned one."""

from __future__ import annotations

import copy

import pytest
import torch
from binary_models import binarizer
from torch import nn

from binarize import estimators
from binarize.errors import BinarizeError
from binarize.layers import StepBinarizer, WeightBinarizer, binarize_weight, freeze, scale

WEIGHT = torch.tensor([[1.0, -3.0], [0.5, 0.0], [-4.0, 4.0]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("channel", [[2.0], [0.25], [4.0]]),
        ("channel-in-graph", [[2.0], [0.25], [4.0]]),
        ("learned", [[2.0], [0.25], [4.0]]),
        ("layer", [[12.5 / 6]]),
        ("power-of-two", [[2.0], [0.25], [4.0]]),
        ("none", [[1.0]]),
    ],
)
def test_the_scale_is_the_mean_magnitude(name, expected):
    torch.testing.assert_close(scale.get(name)(WEIGHT), torch.tensor(expected))


@pytest.mark.parametrize(
    ("mean", "power"), [(1.4, 1.0), (1.42, 2.0), (0.05, 0.0625), (0.044, 0.03125), (0.0, 0.0)]
)
def test_a_power_of_two_is_the_nearest_in_octaves(mean, power):
    made = scale.get("power-of-two")(torch.tensor([[mean, -mean]]))
    assert torch.equal(made, torch.tensor([[power]]))


@pytest.mark.parametrize("name", scale.NAMES)
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 5, 2), (4, 1, 1, 1)])
def test_it_broadcasts_is_positive_and_is_detached_unless_its_name_says_otherwise(name, shape):
    weight = torch.randn(shape, requires_grad=True)
    s = scale.get(name)(weight)
    assert s.ndim == weight.ndim
    assert torch.broadcast_shapes(s.shape, weight.shape) == weight.shape
    assert (s > 0).all()
    assert s.requires_grad == (name == "channel-in-graph")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("chanel", 'did you mean "channel"?'),
        ("xyz", f"the scales are {', '.join(scale.NAMES)}"),
    ],
)
def test_an_unknown_name(name, hint):
    with pytest.raises(BinarizeError) as caught:
        scale.get(name)
    assert caught.value.message == f'there is no scale "{name}"'
    assert caught.value.hint == hint


@pytest.mark.parametrize("name", scale.NAMES)
def test_the_gradient_goes_where_the_name_says(name):
    """With upstream = sign, the gradient of s·sign at a weight is what reaches it through s alone, but
    for that of the estimator: a clip so narrow that it lets nothing through takes that away."""
    latent = torch.randn(4, 9, requires_grad=True)
    made = WeightBinarizer(
        estimators.get("clipped-ste", c=1e-9), scale.get(name), standardise=False
    )
    made.attach(latent)
    made(latent).abs().sum().backward()
    signs = torch.where(latent.detach() >= 0, 1.0, -1.0)
    reached = {"channel-in-graph": signs}.get(name, torch.zeros(4, 9))
    torch.testing.assert_close(latent.grad, reached)
    assert list(dict(made.named_parameters())) == (["learned_scale"] if name == "learned" else [])
    if name == "learned":
        torch.testing.assert_close(made.learned_scale.grad, torch.full((4,), 9.0))


class TestLearned:
    """The parameter: where it begins, what keeps it, and what loads without it."""

    def layer(self, inputs: bool = False) -> nn.Conv2d:
        torch.manual_seed(0)
        conv = nn.Conv2d(3, 4, 3)
        made = binarizer("ab-tanh", "learned")
        binarize_weight(conv, "weight", made, StepBinarizer(3, -3) if inputs else None)
        made.attach(conv._parameters["weight"])
        return conv

    def start(self, conv: nn.Conv2d) -> torch.Tensor:
        w = conv._parameters["weight"].detach()
        return (w - w.mean((1, 2, 3), keepdim=True)).abs().mean((1, 2, 3))

    def test_it_begins_as_the_mean_magnitude_and_computes_the_same(self):
        conv = self.layer()
        torch.testing.assert_close(conv.weight_binarizer.learned_scale, self.start(conv))
        plain = binarizer("ab-tanh", "channel")(conv._parameters["weight"])
        torch.testing.assert_close(conv.weight, plain)

    def test_it_begins_by_itself_in_the_first_forward(self):
        conv = nn.Conv2d(3, 4, 3)
        binarize_weight(conv, "weight", binarizer("ab-tanh", "learned"))
        conv(torch.randn(1, 3, 5, 5))
        torch.testing.assert_close(conv.weight_binarizer.learned_scale, self.start(conv))

    def test_it_moves_and_its_sign_does_not_matter(self):
        conv = self.layer()
        theta = conv.weight_binarizer.learned_scale
        with torch.no_grad():
            theta.copy_(torch.tensor([0.5, -0.25, 2.0, 1.0]))
        size = conv.weight.abs().flatten(1)
        assert torch.equal(size, theta.detach().abs()[:, None].expand(4, 27))
        (grad,) = torch.autograd.grad(conv.weight.sum(), theta)
        signs = torch.where(conv.weight >= 0, 1.0, -1.0).flatten(1).sum(1)
        torch.testing.assert_close(grad, signs * theta.detach().sign())

    @pytest.mark.parametrize("inputs", [False, True])
    def test_it_survives_a_state_dict_and_freezing(self, inputs):
        conv, other = self.layer(inputs), nn.Conv2d(3, 4, 3)
        with torch.no_grad():
            conv.weight_binarizer.learned_scale.mul_(3)
        binarize_weight(
            other,
            "weight",
            binarizer("ab-tanh", "learned"),
            StepBinarizer(3, -3) if inputs else None,
        )
        other.load_state_dict(conv.state_dict())
        x = torch.randn(1, 3, 5, 5)
        assert torch.equal(other.eval()(x), conv.eval()(x))
        expected = conv.weight_binarizer.learned_scale.detach().clone()
        copied = copy.deepcopy(conv)
        (frozen,) = freeze(copied).values()
        torch.testing.assert_close(frozen.scale, expected)

    def test_a_float_checkpoint_loads_strictly_and_the_scale_begins_from_it(self):
        conv = self.layer()
        torch.manual_seed(9)
        loaded = {key: 5 * value for key, value in nn.Conv2d(3, 4, 3).state_dict().items()}
        conv.load_state_dict(loaded)
        conv(torch.randn(1, 3, 5, 5))
        torch.testing.assert_close(conv.weight_binarizer.learned_scale, self.start(conv))

    def test_a_checkpoint_with_a_scale_is_refused_where_none_is_learned(self):
        conv = nn.Conv2d(3, 4, 3)
        binarize_weight(conv, "weight", binarizer("ab-tanh", "channel"))
        with pytest.raises(RuntimeError, match=r"Unexpected key.*weight_binarizer\.learned_scale"):
            conv.load_state_dict(self.layer().state_dict())

    def test_it_has_the_dtype_of_the_weight(self):
        conv = nn.Conv2d(3, 4, 3).bfloat16()
        binarize_weight(conv, "weight", binarizer("ab-tanh", "learned"))
        conv.weight_binarizer.attach(conv._parameters["weight"])
        assert conv.weight_binarizer.learned_scale.dtype == torch.bfloat16
        assert conv.weight.dtype == torch.bfloat16
