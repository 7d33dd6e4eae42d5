from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from train_toys import recipe

from binarize.errors import RecipeError
from binarize.training.optim import make_optimizer, make_schedule


def rates(schedule, steps=20, per_epoch=5, lr=0.1):
    """The learning rate at every step of a stage."""
    stage = recipe({"steps": steps, "optimizer": {"name": "sgd", "lr": lr}, "schedule": schedule})
    optimizer = make_optimizer(stage.stages[0].optimizer, nn.Linear(2, 2))
    scheduler = make_schedule(stage.stages[0].schedule, optimizer, steps, per_epoch)
    found = []
    for step in range(steps):
        scheduler.step_update(step)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_cosine_is_the_closed_form():
    expected = [0.05 * (1 + math.cos(math.pi * step / 20)) for step in range(20)]
    assert rates("cosine") == pytest.approx(expected)


def test_warm_up_rises_in_a_line_and_then_follows_the_curve():
    found = rates({"name": "cosine", "warmup_epochs": 1, "warmup_lr": 0.02})
    assert found[:5] == pytest.approx([0.02, 0.036, 0.052, 0.068, 0.084])
    assert found[5:] == pytest.approx(rates("cosine")[5:])


def test_constant():
    assert rates("constant") == [0.1] * 20


def test_multistep_counts_epochs_from_the_start_of_the_stage():
    found = rates({"name": "multistep", "decay_milestones": [1, 3], "decay_rate": 0.1})
    assert found == pytest.approx([0.1] * 4 + [0.01] * 10 + [0.001] * 6)  # timm: one step early


def test_a_stretch_of_less_than_a_step_is_one_step():
    found = rates({"name": "step", "decay_epochs": 1e-300, "decay_rate": 0.5}, steps=3)
    assert found == pytest.approx([0.1, 0.05, 0.025])


def test_step():
    found = rates({"name": "step", "decay_epochs": 2, "decay_rate": 0.5})
    assert found == pytest.approx([0.1] * 10 + [0.05] * 10)


def test_poly_ends_near_its_floor():
    found = rates({"name": "poly", "decay_rate": 1.0, "min_lr": 0.02})
    assert found == pytest.approx([0.02 + 0.08 * (1 - step / 20) for step in range(20)])


def test_biases_and_norms_are_not_decayed_unless_the_recipe_says_so():
    config = recipe(
        {"steps": 1, "optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 0.5}}
    ).stages[0]
    optimizer = make_optimizer(config.optimizer, nn.Linear(2, 2))
    assert sorted(group["weight_decay"] for group in optimizer.param_groups) == [0.0, 0.5]


def test_arguments_reach_the_optimiser():
    optimizer = {"name": "adamw", "lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-5}
    made = make_optimizer(
        recipe({"steps": 1, "optimizer": optimizer}).stages[0].optimizer, nn.Linear(2, 2)
    )
    assert isinstance(made, torch.optim.AdamW)
    assert (made.defaults["betas"], made.defaults["eps"]) == ((0.8, 0.9), 1e-5)


@pytest.mark.parametrize(
    "optimizer", [{"name": "nosuch"}, {"name": "sgd", "kwargs": {"nosuch": 1}}]
)
def test_what_timm_does_not_know_is_refused(optimizer):
    config = recipe({"steps": 1, "optimizer": {"lr": 0.1, **optimizer}}).stages[0]
    with pytest.raises(RecipeError, match="timm cannot make the optimiser"):
        make_optimizer(config.optimizer, nn.Linear(2, 2))
