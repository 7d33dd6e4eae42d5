"""Binary weights in a whole model: what stays as it was, what is switched, what is frozen."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from binary_models import BINARY, Net, binary_net, float_net, images
from torch import nn

from binarize.layers import (
    WeightBinarizer,
    binarization_off,
    binary_weights,
    freeze,
    layer_name,
    set_progress,
)


def test_state_dict_and_parameters_are_the_float_models():
    net, plain = binary_net(), float_net()
    assert list(net.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in net.named_parameters()] == [n for n, _ in plain.named_parameters()]
    for name, value in plain.state_dict().items():
        assert torch.equal(net.state_dict()[name], value)


@pytest.mark.parametrize("assign", [False, True])
def test_a_float_checkpoint_loads_into_the_latent_weights(assign):
    net, other = binary_net(seed=0), binary_net(seed=7)
    assert not torch.equal(net(images()), other(images()))
    net.load_state_dict(float_net(seed=7).state_dict(), assign=assign)
    assert torch.equal(net(images()), other(images()))


def test_every_binary_weight_is_listed_by_its_layers_name():
    listed = [(name, parameter) for name, _, parameter, _ in binary_weights(binary_net())]
    assert listed == [
        ("conv", "weight"),
        ("bypassed.qkv", "weight"),
        ("attention.in_proj_weight", "in_proj_weight"),
    ]
    assert layer_name("", "in_proj_weight") == "in_proj_weight"


@pytest.mark.parametrize("key", BINARY)
def test_each_binary_weight_is_what_the_model_computes_with(key):
    """Layers that call their weight, whose parent calls it, and torch's attention: all three bypasses."""
    net, plain = binary_net(), float_net()
    for name in BINARY:
        if name != key:
            path, _, parameter = name.rpartition(".")
            net.get_submodule(path).get_submodule(f"{parameter}_binarizer").enabled = False
    path, _, parameter = key.rpartition(".")
    value = getattr(net.get_submodule(path), parameter).detach()
    plain.load_state_dict({key: value}, strict=False)
    assert torch.equal(net(images()), plain(images()))
    assert not torch.equal(net(images()), float_net()(images()))


def test_the_gradient_reaches_every_latent_weight():
    net = binary_net()
    net(images()).square().sum().backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad.abs().sum() > 0, key


def test_off_is_the_float_model_exactly():
    net = binary_net()
    with binarization_off(net):
        assert torch.equal(net(images()), float_net()(images()))
        assert net.conv.weight is dict(net.named_parameters())["conv.weight"]
    assert not torch.equal(net(images()), float_net()(images()))


def test_off_restores_what_was_on_even_after_an_error():
    net = binary_net()
    net.conv.weight_binarizer.enabled = False
    with pytest.raises(KeyError), binarization_off(net):
        raise KeyError
    enabled = [binarizer.enabled for *_, binarizer in binary_weights(net)]
    assert enabled == [False, True, True]


def test_progress_reaches_every_binarizer_and_changes_the_gradient_alone():
    net = binary_net()
    before = net(images())
    set_progress(net, 0.75)
    assert [binarizer.progress for *_, binarizer in binary_weights(net)] == [0.75] * 3
    assert torch.equal(net(images()), before)


def test_a_deep_copy_is_independent():
    net = binary_net()
    twin = copy.deepcopy(net)
    set_progress(twin, 1.0)
    with torch.no_grad():
        twin.conv._parameters["weight"].neg_()
    assert torch.equal(twin.conv.weight, -net.conv.weight)
    assert net.conv.weight_binarizer.progress == 0.0


@pytest.mark.parametrize("options", [{}, {"scale_name": "layer"}, {"standardise": False}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_frozen_is_the_forward_bit_for_bit(options, dtype):
    net = binary_net(**options).to(dtype)
    before = net(images().to(dtype))
    frozen = freeze(net)
    assert torch.equal(net(images().to(dtype)), before)
    assert tuple(frozen) == BINARY
    for key, weight in frozen.items():
        assert torch.equal(net.state_dict()[key], weight.value)
        assert weight.positive.dtype == torch.bool
        assert weight.scale.shape == (len(weight.positive),)
        assert weight.scale.dtype == dtype


def test_frozen_has_the_classes_it_had_before():
    net = binary_net()
    freeze(net)
    assert [type(module) for module in net.modules()] == [type(m) for m in Net().modules()]
    assert not any(isinstance(module, WeightBinarizer) for module in net.modules())
    assert list(net.state_dict()) == list(float_net().state_dict())
    assert isinstance(net.conv.weight, nn.Parameter)


def test_freezing_twice_finds_nothing_more():
    net = binary_net()
    freeze(net)
    assert freeze(net) == {}


def test_a_model_that_is_one_layer_can_be_frozen():
    layer = copy.deepcopy(binary_net().conv)
    assert list(freeze(layer)) == ["weight"]


def test_a_frozen_zero_counts_as_plus():
    net = binary_net(standardise=False)
    with torch.no_grad():
        net.conv._parameters["weight"][0, 0, 0, :2] = torch.tensor([0.0, -0.0])
    assert freeze(net)["conv.weight"].positive[0, 0, 0, :2].all()


@pytest.mark.parametrize("strict", [False, True])
def test_torch_export_keeps_it_binary(strict):
    net = binary_net()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(net, (images(),), dynamic_shapes=({0: batch},), strict=strict)
    assert set(program.state_dict) == set(net.state_dict())
    more = torch.cat([images(), images(2), images(3)])
    torch.testing.assert_close(program.module()(more), net(more))


def test_functional_call_uses_the_latent_weights_given():
    net, other = binary_net(seed=0), binary_net(seed=7)
    output = torch.func.functional_call(net, dict(other.named_parameters()), (images(),))
    assert torch.equal(output, other(images()))


def gradients(net: nn.Module, call: nn.Module) -> list[torch.Tensor]:
    net.zero_grad()
    call(images()).square().sum().backward()
    return [parameter.grad.clone() for parameter in net.parameters()]


@pytest.mark.parametrize(
    ("backend", "part"),
    [
        ("aot_eager", ""),
        pytest.param(
            "inductor",
            "conv",  # alone: every loop of the whole net is a C++ file to compile
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler"),
            ],
        ),
    ],
)
def test_torch_compile_computes_the_same(backend, part):
    net = binary_net()
    set_progress(net, 0.5)
    net = net.get_submodule(part).train()
    torch._dynamo.reset()
    compiled = torch.compile(net, backend=backend)
    torch.testing.assert_close(compiled(images()), net(images()))
    torch.testing.assert_close(gradients(net, compiled), gradients(net, net), rtol=1e-4, atol=1e-5)


def test_torch_compile_does_not_compile_again_for_each_step():
    net = binary_net().train()
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("eager")
    compiled = torch.compile(net, backend=counter)
    for step in range(12):
        set_progress(net, step / 11)
        compiled(images()).sum().backward()
    assert counter.frame_count <= 2
