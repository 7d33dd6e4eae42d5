"""Whole models: off, they are what they were; on, no ±1 input comes from a ReLU."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

import pytest
import timm
import torch
import torchvision
from surgery_toys import Basic, Chain, Net, image, operated, planned, traced, without
from torch import Tensor, nn

import binarize.models  # noqa: F401  (registers cifar_resnet20)
from binarize.layers.added import added_modules, switch
from binarize.rewrite.capture import capture
from binarize.rewrite.inventory import inventory
from binarize.rewrite.surgery import apply_edits, plan_edits

SIZE = (3, 32, 32)
MODELS = [
    "cifar_resnet20",
    "resnet18",
    "resnet26",
    "torchvision/resnet18",
    "regnetx_002",
    "vgg11_bn",
    "densenet",
]


def create(name: str) -> nn.Module:
    """With every norm's weight at 1: zeros at the end of a branch would hide what is in it."""
    torch.manual_seed(0)
    if name.startswith("torchvision/"):
        model = torchvision.models.get_model(name.split("/")[1], weights=None, num_classes=4)
    elif name == "densenet":
        model = timm.models.DenseNet(8, (2, 2, 2), num_classes=4)
    else:
        small = {"mlp_ratio": 0.01} if name.startswith("vgg") else {}  # 120 million weights less
        model = timm.create_model(name, num_classes=4, **small)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return model


def outputs(model: nn.Module, x: Tensor) -> list[Tensor]:
    """In eval mode, in training mode, and in eval mode with the statistics of that."""
    results = []
    for training in (False, True, False):
        torch.manual_seed(1)  # dropout
        results.append(without(model.train(training), x))
    return results


@dataclass
class Pair:
    """A model before and after; the edits between; the layers with ±1 inputs, and those fed by ReLUs."""

    model: nn.Module
    edited: nn.Module
    edits: list[dict[str, Any]]
    binary: set[str]
    fed: set[str]


@pytest.fixture(scope="module", params=MODELS)
def made(request: pytest.FixtureRequest) -> Pair:
    model = create(request.param)
    trace, layers, binary = traced(model, SIZE)
    edits = json.loads(json.dumps(plan_edits(model, trace, layers, binary, "bireal")))
    edited = copy.deepcopy(model)
    apply_edits(edited, edits)
    fed = {layer.name for layer in layers if layer.fed_by == "relu" and layer.name in binary}
    return Pair(model, edited, edits, binary, fed)


@pytest.fixture
def pair(made: Pair) -> Pair:
    return copy.deepcopy(made)


def test_switched_off_the_model_is_what_it_was(pair: Pair) -> None:
    befores, afters = outputs(pair.model, image(SIZE)), outputs(pair.edited, image(SIZE))
    assert pair.edits
    for before, after in zip(befores, afters, strict=True):
        assert torch.equal(before, after)


def test_what_fed_a_binary_layer_is_no_relu_any_more(pair: Pair) -> None:
    assert pair.fed
    layers = inventory(capture(pair.edited, SIZE))
    assert not [x.name for x in layers if x.fed_by == "relu" and x.name in pair.binary]


def test_gradients_flow_and_layers_see_both_signs(pair: Pair) -> None:
    names = pair.fed | {edit["layer"] for edit in pair.edits if edit["pass"] == "shortcut"}
    lowest: dict[str, float] = {}
    for name in names:
        layer = pair.edited.get_submodule(name)
        layer.register_forward_pre_hook(lambda _, x, n=name: lowest.update({n: x[0].min().item()}))
    pair.edited.train()(image(SIZE)).square().mean().backward()
    assert all(lowest[name] < 0 for name in names)
    for name in names:
        gradient = pair.edited.get_submodule(name).weight.grad
        assert torch.isfinite(gradient).all()
        assert gradient.abs().max() > 0


def test_float_checkpoints_load_and_copies_are_apart(pair: Pair) -> None:
    pair.edited.load_state_dict(pair.model.state_dict())
    other = copy.deepcopy(pair.edited).eval()
    x, on = image(SIZE), pair.edited.eval()(image(SIZE))
    assert torch.equal(other(x), on)
    switch(other, weights=False, inputs=False)
    assert torch.equal(pair.edited(x), on)
    assert torch.equal(other(x), pair.model.eval()(x))


@pytest.mark.parametrize("name", ["cifar_resnet20", "torchvision/resnet18"])
def test_the_same_with_rprelu(name: str) -> None:
    model = create(name)
    edited = operated(model, "reactnet", SIZE)
    for before, after in zip(
        outputs(model, image(SIZE)), outputs(edited, image(SIZE)), strict=True
    ):
        assert torch.equal(before, after)
    edited.train()(image(SIZE)).square().mean().backward()
    added = [p for module in added_modules(edited) for p in module.parameters()]
    assert added
    assert all(torch.isfinite(p.grad).all() and p.grad.abs().max() > 0 for p in added)
    edited.load_state_dict(model.state_dict())


def test_an_edited_model_is_exported() -> None:
    model = operated(Net(nn.Sequential(Basic(), Chain("function"))), "reactnet").eval()
    batch = {0: torch.export.Dim("batch", min=1, max=8)}
    program = torch.export.export(model, (image(),), dynamic_shapes=(batch,), strict=False)
    x = torch.cat([image(), image()])[:3]
    torch.testing.assert_close(program.module()(x), model(x))


def test_edits_made_again_on_a_fresh_model_give_the_same_model() -> None:
    model = create("cifar_resnet20").eval()
    edits = planned(model, "reactnet", SIZE)
    first, second = copy.deepcopy(model), create("cifar_resnet20").eval()
    apply_edits(first, edits)
    apply_edits(second, edits)
    assert torch.equal(first(image(SIZE)), second(image(SIZE)))


def test_a_resnet_18_gets_one_shortcut_per_block_and_keeps_its_last_relu() -> None:
    edits = planned(create("resnet18"), size=SIZE)
    layers = [edit["layer"] for edit in edits if edit["pass"] == "shortcut"]
    assert layers == [f"layer{i}.{j}.conv2" for i in (1, 2, 3, 4) for j in (0, 1)]
    relus = [edit["module"] for edit in edits if edit["pass"] == "replace_relu"]
    blocks = [f"layer{i}.{j}.act{k}" for i in (1, 2, 3, 4) for j in (0, 1) for k in (1, 2)]
    assert sorted(relus) == sorted(["act1", *blocks[:-1]])
