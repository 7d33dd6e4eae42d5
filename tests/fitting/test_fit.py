"""A binary network comes closer to its float parent, and never farther from it."""

from __future__ import annotations

import copy

import pytest
import torch
from fitting_toys import SIDE, images, network
from torch import nn

from binarize.fitting import FitImages, Watched, fit, fit_converted, norms
from binarize.progress import Progress
from binarize.rewrite import Converted, Options, SourceOptions, convert_float, open_float


def converted(parent: nn.Module, **options) -> Converted:
    opened = open_float(parent, SourceOptions(img_size=SIDE))
    return convert_float(opened, Options(stem="keep", **options), values=False)


def pictures(count: int = 96, aside: int = 32) -> FitImages:
    return FitImages(images(count, 1).unbind(), images(aside, 2).unbind(), "noise")


def fitted(
    parent: nn.Module, of: FitImages | None = None, steps: int = 30, seed: int = 0, **options
):
    made = converted(parent, **options)
    return fit_converted(made, parent, (3, SIDE, SIDE), of or pictures(), steps=steps, seed=seed)


@pytest.mark.parametrize("options", [{}, {"activations": "step"}, {"estimator": "dsq"}])
def test_it_comes_closer_to_its_parent(options):
    parent = network()
    before = copy.deepcopy(parent.state_dict())
    found = fitted(parent, **options).info.fit
    assert (found.images, found.steps) == (96, 30)
    assert found.error_after < 0.6 * found.error_before
    assert list(found.outputs) == ["4", "7", ""]
    assert sum(error for _, error in found.outputs.values()) == pytest.approx(found.error_after)
    assert all(torch.equal(value, before[key]) for key, value in parent.state_dict().items())


def test_it_is_the_same_by_the_same_seed_alone():
    weights = [
        fitted(network(), steps=4, seed=seed).conversion.model[3]._parameters["weight"]
        for seed in (0, 0, 1)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_figures_are_those_of_the_model_that_is_left():
    """Error and agreement by hand, with the model in eval mode."""
    parent, of = network(), pictures()
    made = fitted(parent, of)
    model, x = made.conversion.model, torch.stack(list(of.held_aside))
    assert not any(module.training for module in model.modules())
    with torch.no_grad():
        wanted, found = parent(x), model(x)
        inner = [Watched(net, ["4"]).outputs(x)["4"][0].double() for net in (parent, model)]
    record = made.info.fit
    same = (wanted.argmax(1) == found.argmax(1)).float().mean().item()
    assert record.agreement_after == pytest.approx(100 * same)
    error = ((inner[1] - inner[0]) ** 2).mean() / (inner[0] ** 2).mean()
    assert record.outputs["4"][1] == pytest.approx(error.item(), rel=0.02)
    assert model.binarize_info.fit == record


def test_without_steps_the_norms_are_measured_again():
    made, plain = fitted(network(), steps=0), converted(network())
    own, other = made.conversion.model, plain.conversion.model
    assert torch.equal(own[3]._parameters["weight"], other[3]._parameters["weight"])
    with torch.no_grad():
        x = torch.stack(list(pictures().fitted))
        seen = own[3](own[2](own[1](own[0](x))))
    assert torch.allclose(own[4].running_mean, seen.mean((0, 2, 3)), atol=1e-4)
    assert own[4].momentum == 0.1
    assert made.info.fit.error_after < made.info.fit.error_before


@pytest.mark.parametrize("momentum", [0.001, None])
def test_statistics_follow_whatever_the_momentum_is(momentum):
    made = fitted(network(momentum=momentum))
    found = made.info.fit
    assert found.error_after < 0.5 * found.error_before
    assert made.conversion.model[4].momentum == momentum


def test_a_network_without_norms_is_fitted_too():
    found = fitted(network(norm=False)).info.fit
    assert found.error_after < found.error_before
    assert list(found.outputs) == ["3", "6", ""]


def test_it_is_never_left_worse(monkeypatch):
    """A rate that ruins the weights, and images on which norms have no spread."""
    monkeypatch.setattr(fit.__globals__["norms"], "MOMENTUM", 0.1)
    monkeypatch.setitem(fit.__globals__, "RATE", 1e6)
    made = converted(network(norm=False))
    before = {key: value.clone() for key, value in made.conversion.model.state_dict().items()}
    found = fit_converted(made, network(norm=False), (3, SIDE, SIDE), pictures(), steps=3).info.fit
    assert found.error_after == found.error_before
    state = made.conversion.model.state_dict()
    assert all(torch.equal(state[key], before[key]) for key in before)


class Dropping(nn.Module):
    """Two heads in training, and dropout: neither is to be met."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body, self.drop = body, nn.Dropout(0.9)

    def forward(self, x):
        assert not self.training
        return self.drop(self.body(x))


def test_only_norms_are_in_training_mode():
    parent = Dropping(network()).eval()
    found = fitted(parent).info.fit
    assert found.error_after < 0.5 * found.error_before


def test_few_images_are_one_batch_and_their_own_judges():
    of = FitImages(images(3).unbind(), (), "three")
    found = fitted(network(), of, steps=2).info.fit
    assert (found.images, found.steps) == (3, 2)
    assert found.error_after <= found.error_before


@pytest.mark.parametrize("frozen", ["all", "first"])
def test_what_the_caller_froze_learns_too_and_stays_frozen(frozen):
    parent = network()
    for parameter in parent.parameters() if frozen == "all" else parent[0].parameters():
        parameter.requires_grad_(False)
    free = {name for name, parameter in parent.named_parameters() if parameter.requires_grad}
    with torch.no_grad():  # where no gradient is asked for, either
        made = fitted(parent)
    model = made.conversion.model
    assert made.info.fit.error_after < 0.6 * made.info.fit.error_before
    assert not torch.equal(model[0].weight, parent[0].weight)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == free
    assert all(parameter.grad is None for parameter in model.parameters())


class Flattened(nn.Module):
    """Notes whether its images come in channels_last, in which `view` may fail."""

    def __init__(self, view: bool) -> None:
        super().__init__()
        self.body, self.view, self.last = network()[:-2], view, set()
        self.head = nn.Linear(32, 4)

    def forward(self, x):
        self.last.add(x.is_contiguous(memory_format=torch.channels_last))
        x = self.body(x)
        return self.head(x.view(len(x), -1) if self.view else x.flatten(1))


@pytest.mark.parametrize("view", [False, True])
def test_images_are_channels_last_where_the_network_takes_them(view):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parent = Flattened(view).eval()
    made = converted(parent)
    model = made.conversion.model
    model.last.clear()
    found = fit_converted(made, parent, (3, SIDE, SIDE), pictures(), steps=30).info.fit
    assert found.error_after < 0.6 * found.error_before
    assert model.last == ({True, False} if view else {True})


class Told(Progress):
    def __init__(self) -> None:
        self.lines = []

    def task(self, what, total=None, done=0):
        self.lines.append((what, total))

    def update(self, done, note=""):
        self.lines.append((done, note))


def test_progress_is_told_and_may_end_it():
    told, made, parent = Told(), converted(network()), network()
    fit_converted(made, parent, (3, SIDE, SIDE), pictures(), steps=6, progress=told)
    fitting = told.lines.index(("fitting", 6))
    done, note = told.lines[fitting + 1]
    assert done == 1
    assert note.startswith("error ")
    assert told.lines[fitting + 2][0] == 6

    class Stop(Told):
        def update(self, done, note=""):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_converted(converted(network()), parent, (3, SIDE, SIDE), pictures(), progress=Stop())
    assert all(norm.momentum == 0.1 for norm in norms.batch_norms(parent))
