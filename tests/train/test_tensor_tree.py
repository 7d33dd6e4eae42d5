from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load, save
from timm.optim import create_optimizer_v2
from torch import nn

from binarize.errors import TrainingError
from binarize.training.tensor_tree import load_optimizer, pack, unpack

OPTIMIZERS = ["sgd", "momentum", "adamw", "adafactor", "lamb", "lion", "rmsprop", "nadam"]


def through_files(tree):
    """The tree after a journey through JSON and safetensors."""
    tensors = {}
    text = json.dumps(pack(tree, tensors))
    return unpack(json.loads(text), load(save(tensors)))


def steps(model, optimizer, count):
    for number in range(count):
        torch.manual_seed(number)
        model(torch.randn(4, 3, 5, 5)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def conv_net():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 2))
    return model.to(memory_format=torch.channels_last)


def test_a_tree_comes_back_as_it_was():
    tree = {0: {"step": torch.tensor(3.0), "list": [1, (2, 0.1)], "none": None, "flag": True}}
    back = through_files(tree)
    assert torch.equal(back[0].pop("step"), tree[0].pop("step"))
    assert back == tree


def test_numbers_keep_every_bit():
    numbers = [0.1, 1 / 3, 5e-324, float("inf")]
    assert through_files(numbers) == numbers


def test_what_neither_format_holds_is_refused_by_name():
    with pytest.raises(TrainingError, match="keeps a set"):
        pack({"state": {1, 2}}, {})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimiser_goes_on_to_the_bit(name):
    model = conv_net()
    optimizer = create_optimizer_v2(model, name, lr=0.01, weight_decay=1e-4)
    steps(model, optimizer, 2)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    state = through_files(optimizer.state_dict())
    steps(model, optimizer, 3)

    other = conv_net()
    other.load_state_dict(weights)
    second = create_optimizer_v2(other, name, lr=0.01, weight_decay=1e-4)
    load_optimizer(second, state)
    steps(other, second, 3)
    for key, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_loaded_tensors_lie_in_memory_as_their_parameters_do():
    model = conv_net()
    optimizer = create_optimizer_v2(model, "adamw", lr=0.01)
    steps(model, optimizer, 1)
    before = [v.stride() for s in optimizer.state.values() for v in s.values()]
    load_optimizer(optimizer, through_files(optimizer.state_dict()))
    assert [v.stride() for s in optimizer.state.values() for v in s.values()] == before


def test_a_setting_that_was_a_number_stays_one():
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    state = optimizer.state_dict()
    state["param_groups"][0]["lr"] = "fast"
    with pytest.raises(ValueError, match="lr of the optimiser is 'fast'"):
        load_optimizer(optimizer, state)


def test_the_count_of_steps_is_exact_beside_a_narrow_number():
    """A parameter without dimensions has the shape of the count, and bfloat16 ends at 256."""
    parameter = nn.Parameter(torch.tensor(1.0, dtype=torch.bfloat16))
    optimizer = torch.optim.AdamW([parameter])
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    state = optimizer.state_dict()
    state["state"][0]["step"].fill_(257)
    load_optimizer(optimizer, through_files(state))
    assert optimizer.state[parameter]["step"].item() == 257
    assert optimizer.state[parameter]["exp_avg"].dtype == torch.bfloat16
