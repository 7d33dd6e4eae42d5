"""Layers that transform their weight or pad their input: held against what they compute, written out."""

from __future__ import annotations

import copy

import pytest
import torch
from binary_models import binarizer
from timm.layers import CondConv2d, Conv2dSame, ScaledStdConv2d, StdConv2d
from torch import Tensor, nn
from torch.nn import functional as F

from binarize.errors import ModelError
from binarize.layers import StepBinarizer, adapters, binarize_weight, freeze


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def binary(weight: Tensor) -> Tensor:
    """s·sign(w - mu), s the mean of |w - mu|, per output channel."""
    c = weight - weight.mean((1, 2, 3), keepdim=True)
    return torch.where(c >= 0, 1.0, -1.0) * c.abs().mean((1, 2, 3), keepdim=True)


def standard(conv: nn.Conv2d) -> Tensor:
    w = conv._parameters["weight"].detach()
    var, mean = torch.var_mean(w, (1, 2, 3), correction=0, keepdim=True)
    return (w - mean) / torch.sqrt(var + conv.eps)


@torch.no_grad()
def standardising(cls: type[nn.Conv2d]) -> tuple[nn.Conv2d, Tensor | float]:
    """A layer and the gain that it multiplies its weight by."""
    conv = cls(3, 4, 3, padding=1)
    if cls is StdConv2d:
        return conv, 1.0
    conv.gain.copy_(torch.rand(4, 1, 1, 1) + 0.5)
    return conv, conv.gain.detach() * conv.scale


@pytest.mark.parametrize("cls", [StdConv2d, ScaledStdConv2d])
def test_a_standardised_weight_is_binarized_after_that_and_its_gain_stays(cls):
    conv, gain = standardising(cls)
    x, expected = torch.randn(2, 3, 6, 6), binary(standard(conv)) * gain
    binarize_weight(conv, "weight", binarizer())
    torch.testing.assert_close(conv(x), F.conv2d(x, expected, conv.bias, padding=1))
    frozen = freeze(conv)["weight"]
    torch.testing.assert_close(frozen.value, expected)
    torch.testing.assert_close(conv(x), F.conv2d(x, expected, conv.bias, padding=1))


@pytest.mark.parametrize("cls", [StdConv2d, ScaledStdConv2d])
def test_a_float_one_is_standardised_once_for_export(cls):
    conv, _ = standardising(cls)
    x = torch.randn(2, 3, 6, 6)
    y = conv(x)
    adapters.find(cls).prepare_export(conv)
    torch.testing.assert_close(conv(x), y)
    torch.testing.assert_close(F.conv2d(x, conv.weight, conv.bias, padding=1), y)


def experts(**options: object) -> tuple[CondConv2d, Tensor, Tensor]:
    """A layer of three experts, images and how much each image takes of each expert."""
    conv = CondConv2d(3, 4, 3, bias=True, num_experts=3, **options)
    nn.init.normal_(conv.bias)
    return conv, torch.randn(2, 3, 7, 7), torch.rand(2, 3)


def mixed(conv: CondConv2d, weights: Tensor, x: Tensor, share: Tensor) -> Tensor:
    """Image by image: the experts mixed first, then one convolution. `weights`: [experts, out, in, 3, 3]."""
    out = []
    for image, shares in zip(x, share, strict=True):
        weight = (weights * shares[:, None, None, None, None]).sum(0)
        bias = shares @ conv.bias
        out.append(F.conv2d(F.pad(image[None], (1, 1, 1, 1)), weight, bias, conv.stride))
    return torch.cat(out)


def test_every_expert_is_binary_by_itself():
    conv, x, share = experts(padding=1)
    latent = conv.weight.detach().reshape(3, 4, 3, 3, 3)
    expected = torch.stack([binary(expert) for expert in latent])
    binarize_weight(conv, "weight", binarizer())
    y = mixed(conv, expected, x, share)
    torch.testing.assert_close(conv(x, share), y, atol=1e-5, rtol=1e-5)

    frozen = freeze(conv)
    assert list(frozen) == ["expert0", "expert1", "expert2"]
    for value, weight in zip(expected, frozen.values(), strict=True):
        torch.testing.assert_close(weight.value, value)
        assert torch.equal(weight.positive, value > 0)
    assert list(conv.state_dict()) == ["bias", *frozen]
    assert not list(conv.children())
    torch.testing.assert_close(conv(x, share), y, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", [{"padding": 1}, {"padding": "same", "stride": 2}])
def test_float_experts_are_separated_for_export(options):
    conv, x, share = experts(**options)
    y = conv(x, share)
    adapters.find(CondConv2d).prepare_export(conv)
    assert "weight" not in conv.state_dict()
    torch.testing.assert_close(conv(x, share), y, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_same_padding_comes_after_the_input_is_binary(training):
    conv = Conv2dSame(3, 4, 3, stride=2)
    x = torch.randn(2, 3, 6, 6)
    expected = binary(conv.weight.detach())
    inputs = StepBinarizer(3, -3)
    nn.init.constant_(inputs.threshold, -0.5)  # it would make 1 of the 0 in the padding
    binarize_weight(conv, "weight", binarizer(), inputs)
    conv.train(training)
    signs = (x >= inputs.threshold.reshape(-1, 1, 1)).float() * inputs.scale
    y = F.conv2d(F.pad(signs, (0, 1, 0, 1)), expected, conv.bias, 2)
    torch.testing.assert_close(conv(x), y)


def test_same_padding_with_a_float_input_is_the_layers_own():
    conv = Conv2dSame(3, 4, 3, stride=2)
    plain, x = copy.deepcopy(conv), torch.randn(2, 3, 6, 6)
    with torch.no_grad():
        plain.weight.copy_(binary(plain.weight))
    binarize_weight(conv, "weight", binarizer())
    torch.testing.assert_close(conv(x), plain(x))


@pytest.mark.parametrize("option", ["add_bias_kv", "add_zero_attn"])
def test_attention_with_a_key_of_its_own_cannot_have_binary_inputs(option):
    attention = nn.MultiheadAttention(8, 2, **{option: True})
    binarize_weight(attention, "in_proj_weight", binarizer(), StepBinarizer(8, -1))
    x = torch.randn(2, 3, 8)
    with pytest.raises(ModelError, match="cannot have binary inputs"):
        attention(x, x, x)


def test_a_learned_scale_is_there_before_the_first_forward():
    """An optimiser made right after conversion has it."""
    conv = nn.Conv2d(3, 4, 3)
    c = conv.weight - conv.weight.mean((1, 2, 3), keepdim=True)
    binarize_weight(conv, "weight", binarizer(scale_name="learned"))
    assert "weight_binarizer.learned_scale" in dict(conv.named_parameters())
    torch.testing.assert_close(conv.weight_binarizer.learned_scale, c.abs().mean((1, 2, 3)))


@pytest.mark.parametrize("training", [True, False])
def test_the_gain_and_the_scale_of_a_binary_input_both_multiply(training):
    conv, gain = standardising(ScaledStdConv2d)
    x, expected = torch.randn(2, 3, 6, 6), binary(standard(conv)) * gain
    inputs = StepBinarizer(3, -3)
    inputs.scale.data.fill_(0.7)
    binarize_weight(conv, "weight", binarizer(), inputs)
    conv.train(training)
    ones = (x >= inputs.threshold.reshape(-1, 1, 1)).float() * 0.7
    torch.testing.assert_close(conv(x), F.conv2d(ones, expected, conv.bias, padding=1))
