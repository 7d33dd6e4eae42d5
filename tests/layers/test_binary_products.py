"""A layer with a binary input: integer-exact, for every way in which a weight is multiplied."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from binary_models import BINARY, Net, binarizer, float_net, images
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from binarize.layers import (
    AddedModule,
    SignBinarizer,
    StepBinarizer,
    binarization_off,
    binarize_weight,
    binary_inputs,
    calibrate,
    freeze,
    imbalance,
    switch,
)

KINDS = {"step": StepBinarizer, "sign": SignBinarizer}
every_kind = pytest.mark.parametrize("kind", KINDS)


def with_inputs(module: nn.Module, kind: str, parameter: str = "weight") -> nn.Module:
    shape = module._parameters[parameter].shape
    channels = shape[1] * getattr(module, "groups", 1)
    inputs = KINDS[kind](channels, 1 - len(shape))
    binarize_weight(module, parameter, binarizer(), inputs)
    return module


def net_with_inputs(kind: str = "step", seed: int = 0) -> Net:
    torch.manual_seed(seed)
    net = Net().eval()
    for key in (*BINARY, "attention.out_proj.weight"):
        path, _, parameter = key.rpartition(".")
        with_inputs(net.get_submodule(path), kind, parameter)
    calibrate(net, [images()])
    return net


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(sorted(KINDS)),
    st.sampled_from([1, 31, 32, 33, 63, 64, 65]),
    st.integers(1, 3),
    st.integers(0, 1),
    st.integers(0, 9),
)
def test_a_convolution_sums_integers_and_pads_with_0(kind, channels, stride, padding, seed):
    torch.manual_seed(seed)
    conv = with_inputs(nn.Conv2d(channels, 4, 3, stride, padding), kind).eval()
    x = torch.randn(2, channels, 6, 6)
    calibrate(conv, [x])
    y = conv(x).detach().numpy()
    binary = conv.weight_binarizer.inputs(x).detach().numpy().astype(np.int64)
    frozen = conv.weight_binarizer.frozen(conv._parameters["weight"])
    signs = np.where(frozen.positive.numpy(), 1, -1)
    sums = numpy_convolution(binary, signs, stride, padding)
    scale, bias = frozen.scale.numpy(), conv.bias.detach().numpy()
    scaled = (sums.astype(np.float32) * scale[:, None, None]).astype(np.float32)
    assert np.array_equal(y, scaled + bias[:, None, None])


def numpy_convolution(x: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """[N, C, H, W] by [O, C, 3, 3], in integers; a padded position contributes 0."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows[:, :, ::stride, ::stride], w)


@every_kind
@pytest.mark.parametrize("size", [1, 31, 32, 33, 63, 64, 65])
def test_a_linear_layer_sums_integers(kind, size):
    torch.manual_seed(size)
    linear = with_inputs(nn.Linear(size, 5), kind).eval()
    x = torch.randn(3, 7, size)
    frozen = linear.weight_binarizer.frozen(linear._parameters["weight"])
    binary = linear.weight_binarizer.inputs(x).detach().numpy().astype(np.int64)
    sums = binary @ np.where(frozen.positive.numpy(), 1, -1).T
    expected = sums.astype(np.float32) * frozen.scale.numpy() + linear.bias.detach().numpy()
    assert np.array_equal(linear(x).detach().numpy(), expected)


@every_kind
def test_in_training_the_scale_is_in_the_weight_and_the_result_the_same_up_to_rounding(kind):
    conv = with_inputs(nn.Conv2d(5, 4, 3), kind)
    x = torch.randn(2, 5, 6, 6)
    torch.testing.assert_close(conv.train()(x), conv.eval()(x))


@every_kind
def test_every_way_of_multiplying_goes_through_the_binary_input(kind):
    """A layer's own forward, a parent's F.linear, torch's attention: each input is watched."""
    net = net_with_inputs(kind)
    assert set(imbalance(net, images())) == {name for name, _ in binary_inputs(net)}
    assert [name for name, _ in binary_inputs(net)] == [
        "conv",
        "bypassed.qkv",
        "attention.in_proj_weight",
        "attention.out_proj",
    ]


@every_kind
def test_off_is_the_float_model_exactly_and_a_float_checkpoint_loads(kind):
    net = net_with_inputs(kind)
    with binarization_off(net):
        assert torch.equal(net(images()), float_net()(images()))
    assert not torch.equal(net(images()), float_net()(images()))
    net.load_state_dict(float_net(seed=7).state_dict())  # strict
    with binarization_off(net):
        assert torch.equal(net(images()), float_net(seed=7)(images()))


@every_kind
def test_its_own_checkpoint_holds_what_calibration_found(kind):
    net, other = net_with_inputs(kind), net_with_inputs(kind, seed=3)
    other.load_state_dict(net.state_dict())
    assert torch.equal(net(images()), other(images()))


@every_kind
def test_inputs_alone_and_weights_alone(kind):
    net = net_with_inputs(kind)
    whole = net(images())
    switch(net, weights=False, inputs=True)
    inputs_only = net(images())
    switch(net, weights=True, inputs=False)
    weights_only = net(images())
    for one, other in ((whole, inputs_only), (whole, weights_only), (inputs_only, weights_only)):
        assert not torch.allclose(one, other)


def test_float_weights_with_a_binary_input_multiply_s_times_b():
    layer = with_inputs(nn.Linear(5, 3), "step")
    layer.weight_binarizer.enabled = False
    x = torch.randn(4, 5)
    step = layer.weight_binarizer.inputs
    expected = F.linear(step(x) * step.scale, layer._parameters["weight"], layer.bias)
    assert torch.allclose(layer(x), expected, atol=1e-6)


@every_kind
def test_the_gradient_reaches_everything(kind):
    net = net_with_inputs(kind)
    net(images()).square().sum().backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


@every_kind
def test_a_copy_is_independent(kind):
    net = net_with_inputs(kind)
    before = net(images())
    other = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(-1)
    assert torch.equal(net(images()), before)
    assert not torch.equal(other(images()), before)


class Cast(nn.Module):
    """A parent that casts, slices and inspects its child's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.child = nn.Linear(6, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.child.weight.to(x.dtype)
        assert weight.shape == (4, 6)
        assert weight.dtype == x.dtype
        return F.linear(x, weight) + self.child.weight[:, 0]


def test_a_weight_that_is_cast_before_use_keeps_its_binary_input():
    net = Cast()
    with_inputs(net.child, "step")
    x = torch.randn(2, 6)
    plain = net.child.weight_binarizer(net.child._parameters["weight"])
    torch.testing.assert_close(net(x) - plain[:, 0], net.child(x))
    assert imbalance(net, x)


def attention(kind: str, **options: object) -> tuple[nn.MultiheadAttention, nn.MultiheadAttention]:
    torch.manual_seed(0)
    plain = nn.MultiheadAttention(8, 2, **options).eval()
    if plain.in_proj_bias is not None:
        nn.init.normal_(plain.in_proj_bias)  # zero otherwise
    binary = copy.deepcopy(plain)
    names = [name for name, value in plain.named_parameters(recurse=False) if value.ndim == 2]
    for name in names:
        with_inputs(binary, kind, name)
    return plain, binary


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("masked", [None, "causal", "padding", "both", "per head"])
@pytest.mark.parametrize("separate", [False, True, "without biases"])
def test_attention_step_by_step_is_torchs_attention(batch_first, masked, separate):
    """With every binarizer passing its input on unchanged, weights and masks of both kinds included."""
    widths = {"kdim": 6, "vdim": 7} if separate else {}
    bias = separate != "without biases"
    plain, binary = attention("step", batch_first=batch_first, bias=bias, **widths)
    for _, inputs in binary_inputs(binary):
        inputs.binarize = lambda x: x
        inputs.scale.data.fill_(1.0)
    for module in binary.modules():
        if isinstance(module, AddedModule) and module.role == "weights":
            module.enabled = False
    query, key, value = torch.randn(5, 5, 8), torch.randn(5, 5, 6), torch.randn(5, 5, 7)
    inputs = (query, key, value) if separate else (query, query, query)
    masks = {}
    if masked in ("causal", "both"):
        masks["attn_mask"] = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
    if masked in ("padding", "both"):
        masks["key_padding_mask"] = torch.arange(5).repeat(5, 1) > 2
    if masked == "per head":
        masks["attn_mask"] = torch.randn(10, 5, 5)
    for need in (True, False):
        expected, weights = plain(*inputs, need_weights=need, **masks)
        given, given_weights = binary(*inputs, need_weights=need, **masks)
        torch.testing.assert_close(given, expected)
        assert (weights is None) == (given_weights is None)
        if need:
            torch.testing.assert_close(given_weights, weights)


def test_attention_of_one_sequence_without_a_batch():
    _, binary = attention("sign")
    x = torch.randn(5, 8)
    one, weights = binary(x, x, x)
    batched, batched_weights = binary(x[:, None], x[:, None], x[:, None])
    torch.testing.assert_close(one, batched[:, 0])
    torch.testing.assert_close(weights, batched_weights[0])


@every_kind
def test_frozen_layers_hold_signs_and_stand_between_markers(kind):
    net = net_with_inputs(kind)
    frozen = freeze(net)
    for name, weight in frozen.items():
        assert weight.inputs is not None
        assert set(net.state_dict()[name].unique().tolist()) <= {-1.0, 1.0}
    program = torch.export.export(net, (images(),), strict=False)
    marked = [
        node.kwargs.get("onnx_dtype") or node.args
        for node in program.graph.nodes
        if "onnx_symbolic" in str(node.target)
    ]
    assert len(marked) == 2 * len(frozen)


def test_calibration_leaves_mode_and_statistics_alone():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3)).train()
    with_inputs(net[2], "sign")
    before = {key: value.clone() for key, value in net.state_dict().items()}
    found = calibrate(net, [torch.randn(4, 3, 8, 8), torch.randn(2, 3, 8, 8)])
    assert net.training
    assert found.images == 6
    assert list(found.imbalance) == ["2"]
    assert found.imbalanced == {}
    changed = [
        key for key, value in net.state_dict().items() if not torch.equal(value, before[key])
    ]
    assert changed == ["2.weight_binarizer.inputs.shift", "2.weight_binarizer.inputs.scale"]
