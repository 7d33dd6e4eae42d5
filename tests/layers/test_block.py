from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from binarize.layers.added import AddedModule, binarization_off
from binarize.layers.block import Dropped, RPReLU, Shortcut


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))


def rprelu(axis: int = 1) -> RPReLU:
    module = RPReLU(4, axis)
    with torch.no_grad():
        module.shift.copy_(torch.tensor([0.5, -0.5, 0.0, 1.0]))
        module.slope.copy_(torch.tensor([0.25, 0.1, -0.3, 0.0]))
        module.out_shift.copy_(torch.tensor([0.0, 2.0, -1.0, 0.25]))
    return module


def closed_form(x: np.ndarray, module: RPReLU) -> np.ndarray:
    """ReActNet's equation 5, channels on the last axis."""
    shift, slope, out_shift = (p.detach().numpy() for p in module.parameters())
    return np.where(x > shift, x - shift + out_shift, slope * (x - shift) + out_shift)


@pytest.mark.parametrize("module", [Dropped(), Dropped(inplace=True), RPReLU(4), Shortcut()])
def test_block_modules_go_with_binary_inputs(module: AddedModule) -> None:
    assert module.role == "inputs"
    assert module.enabled


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("make", [Dropped, lambda inplace: RPReLU(4, 1, inplace)])
def test_switched_off_a_replaced_relu_is_the_relu(x: Tensor, make: type, inplace: bool) -> None:
    module, taken = make(inplace=inplace), x.clone()
    with binarization_off(module):
        y = module(taken)
    assert torch.equal(y, F.relu(x))
    assert torch.equal(taken, F.relu(x) if inplace else x)


def test_a_dropped_relu_passes_values_on(x: Tensor) -> None:
    assert torch.equal(Dropped()(x), x)
    assert Dropped(inplace=True)(x) is x


def test_what_a_dropped_relu_returns_can_be_written_to(x: Tensor) -> None:
    taken = x.clone()
    Dropped()(taken).add_(1)
    assert torch.equal(taken, x)


def test_rprelu_is_its_closed_form_on_both_axes(x: Tensor) -> None:
    last = x.movedim(1, -1)
    expected = closed_form(last.numpy(), rprelu())
    np.testing.assert_allclose(rprelu(-1)(last).detach().numpy(), expected, atol=1e-6)
    found = rprelu(1)(x).detach().movedim(1, -1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_rprelu_begins_as_a_prelu_of_a_quarter(x: Tensor) -> None:
    assert torch.equal(RPReLU(4)(x), F.leaky_relu(x, 0.25))


def test_rprelu_learns_all_three(x: Tensor) -> None:
    module = rprelu()
    module(x).pow(2).sum().backward()
    assert all(p.grad is not None and (p.grad != 0).all() for p in module.parameters())


def test_a_shortcut_adds(x: Tensor) -> None:
    y = torch.ones_like(x)
    assert torch.equal(Shortcut()(y, x), y + x)
    with binarization_off(shortcut := Shortcut()):
        assert shortcut(y, x) is y


def sliced_gradients(shortcut: Shortcut, x: Tensor, last: bool) -> list[Tensor]:
    """What reaches y and x of a shortcut whose sum is read through a slice, as by option-A shortcuts."""
    seen: list[Tensor] = []
    layout = torch.channels_last if last else torch.contiguous_format
    inputs = [v.contiguous(memory_format=layout).requires_grad_() for v in (x, 2 * x)]
    held = [v * 1 for v in inputs]
    for value in held:
        value.register_hook(seen.append)
    shortcut(*held)[..., ::2, ::2].square().sum().backward()
    return seen


@pytest.mark.parametrize("last", [True, False])
def test_the_gradient_of_a_shortcut_has_the_layout_of_its_sum(x: Tensor, last: bool) -> None:
    layout = torch.channels_last if last else torch.contiguous_format
    expected = torch.zeros_like(x)
    expected[..., ::2, ::2] = 2 * (3 * x)[..., ::2, ::2]
    for module in (Shortcut().train(), Shortcut().eval()):
        gradients = sliced_gradients(module, x, last)
        assert all(torch.equal(grad, expected) for grad in gradients)
        if module.training:
            assert all(grad.is_contiguous(memory_format=layout) for grad in gradients)


def test_a_shortcut_between_precisions_hands_each_its_own() -> None:
    y = torch.ones(1, 2, 3, 3, dtype=torch.bfloat16, requires_grad=True)
    x = torch.ones(1, 2, 3, 3, requires_grad=True)
    Shortcut()(y, x).sum().backward()
    assert (y.grad.dtype, x.grad.dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize("size", [4, 5, 7, 8])
def test_a_pooled_shortcut_fits_a_strided_convolution(size: int) -> None:
    x = torch.arange(size * size, dtype=torch.float32).reshape(1, 1, size, size)
    y = nn.Conv2d(1, 1, 3, 2, 1)(x)
    sums = torch.zeros_like(y)
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            sums[0, 0, i, j] = x[0, 0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean()
    torch.testing.assert_close(Shortcut(2)(y, x), y + sums)


def test_float_checkpoints_load_into_a_net_with_an_rprelu() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    state = net.state_dict()
    net[1] = rprelu()
    net.load_state_dict(state)
    assert torch.equal(net[1].slope, rprelu().slope)
