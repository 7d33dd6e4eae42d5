"""Inner outputs and their errors, against numpy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from fitting_toys import images, network
from torch import nn

from binarize.fitting.outputs import KEPT, LOGITS, Watched, relative_error
from binarize.fitting.parent import Parent

NAMES = ["1", "4", "7"]


def test_the_relative_error_in_numpy():
    found, wanted = torch.randn(4, 3, 2, dtype=torch.float64), torch.randn(4, 3, 2).to(KEPT)
    a, b = found.numpy(), wanted.double().numpy()
    expected = np.mean((a - b) ** 2) / np.mean(b**2)
    assert relative_error(found, wanted).item() == pytest.approx(expected, rel=1e-5)
    assert relative_error(wanted, wanted) == 0
    assert relative_error(torch.zeros(3), torch.ones(3)) == 1
    assert torch.isfinite(relative_error(torch.ones(3), torch.zeros(3)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_of_the_relative_error_in_numpy(dtype):
    found = torch.randn(4, 3, 5, 5).to(dtype).requires_grad_()
    wanted = torch.randn(4, 3, 5, 5).to(KEPT)
    output = found * 1
    error = relative_error(output, wanted)
    output.mul_(7)  # as an activation in place behind it does
    (3 * error).backward()
    f, w = found.detach().float().numpy(), wanted.float().numpy()
    expected = 3 * 2 * (f - w) / (w**2).sum()
    assert found.grad.dtype == dtype
    np.testing.assert_allclose(
        found.grad.float().numpy(), expected, rtol=2e-5 if dtype == torch.float32 else 1e-2
    )


def test_outputs_are_those_of_the_modules_even_where_the_next_one_works_in_place():
    model, x = network(inplace=True), images(5)
    plain = network()
    found = Watched(model, NAMES).outputs(x)
    assert list(found) == [*NAMES, LOGITS]
    with torch.no_grad():
        assert torch.equal(found["4"][0], plain[:5](x).to(KEPT))
        assert torch.equal(found[LOGITS][0], plain(x))
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("inplace", [False, True])
def test_errors_have_gradients_and_leave_the_model_alone(inplace):
    parent, model, x = network(), network(inplace=inplace), images(6)
    wanted = Watched(parent, NAMES).outputs(x)
    with torch.no_grad():
        model[3].weight.mul_(1.3)
    logits, errors = Watched(model, NAMES).errors(x, wanted)
    assert torch.equal(logits, model(x))
    assert list(errors) == [*NAMES, LOGITS]
    assert errors["1"] < 1e-4 < errors["4"]  # bfloat16 alone against another weight
    sum(errors.values()).backward()
    assert model[3].weight.grad.abs().sum() > 0
    assert not any(module._forward_hooks for module in model.modules())


def test_what_only_one_of_them_has_is_not_compared():
    parent, model, x = network(), network(), images(4)
    model[4] = nn.Sequential(model[4], nn.Conv2d(8, 8, 3, stride=2))  # another shape
    wanted = Watched(parent, ["4", "7"]).outputs(x)
    assert list(Watched(model, ["1", "4", "7"]).errors(x, wanted)[1]) == [LOGITS]


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.layer(x)).sum(1)


def test_a_module_that_runs_twice_has_two_outputs():
    model, x = Twice(), torch.randn(4, 3)
    watched = Watched(model, ["layer"])
    wanted = watched.outputs(x)
    assert torch.equal(wanted["layer"][0], model.layer(x).detach().to(KEPT))
    assert list(watched.errors(x, wanted)[1]) == ["layer", "layer#1", LOGITS]


class TestParent:
    def test_each_image_is_computed_once(self, monkeypatch):
        parent = Parent(Watched(network(), NAMES), 8)
        x, seen = images(8), []
        original = Watched.outputs
        monkeypatch.setattr(
            Watched,
            "outputs",
            lambda self, batch: (seen.append(len(batch)), original(self, batch))[1],
        )
        first = parent(torch.arange(6), x[:6])
        again = parent(torch.tensor([5, 0, 3]), x[[5, 0, 3]])
        assert seen == [6]
        assert all(torch.equal(again[name][0], first[name][0][[5, 0, 3]]) for name in NAMES)
        parent(torch.tensor([5, 7]), x[[5, 7]])  # one of them is new
        assert seen == [6, 2]
        assert torch.equal(
            parent(torch.tensor([7]), x[[7]])["4"][0], original(parent._network, x[[7]])["4"][0]
        )
        assert seen == [6, 2]

    @pytest.mark.parametrize("largest", [0, 10**9])
    def test_where_memory_ends_it_is_computed_again(self, largest):
        watched = Watched(network(), NAMES)
        parent, x = Parent(watched, 8, largest), images(8)
        parent(torch.arange(8), x)
        changed = copy.deepcopy(watched.outputs(x))
        with torch.no_grad():
            watched.model[4].bias.add_(1)
        now = parent(torch.arange(8), x)["4"][0]
        assert torch.equal(now, changed["4"][0]) == (largest > 0)
