"""Optimiser and learning-rate schedule of a stage, both timm's."""

from __future__ import annotations

import functools
from typing import Any

from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.optim import Optimizer

from binarize.errors import RecipeError
from binarize.layers import additions
from binarize.recipe import schema


def make_optimizer(config: schema.Optimizer, model: nn.Module) -> Optimizer:
    """The optimiser over the parameters of `model`; vectors do not decay (timm's filter), unless `kwargs`
    says so, and thresholds, shifts, scales and slopes of binary inputs never do.

    Raises RecipeError for a name that timm does not know or an argument that it does not take.
    """
    extra: dict[str, Any] = dict(config.kwargs)
    learned = any(True for addition in additions(model) for _ in addition.parameters())
    if learned and extra.get("filter_bias_and_bn") is False and "layer_decay" not in extra:
        extra["param_group_fn"] = functools.partial(_groups, weight_decay=config.weight_decay)
    if config.betas is not None:
        extra["betas"] = tuple(config.betas)
    if config.eps is not None:
        extra["eps"] = config.eps
    try:
        return create_optimizer_v2(
            model,
            opt=config.name,
            lr=config.lr,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
            **extra,
        )
    except (ValueError, TypeError, AssertionError, ImportError) as error:
        raise RecipeError(
            f'timm cannot make the optimiser "{config.name}": {error}',
            "see timm.optim.list_optimizers() for the names",
        ) from error


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """What conversion added does not decay, whatever else does: no threshold belongs at 0."""
    added = {id(p) for addition in additions(model) for p in addition.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if id(p) not in added], "weight_decay": weight_decay},
        {"params": [p for p in trained if id(p) in added], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_schedule(
    config: schema.Schedule, optimizer: Optimizer, steps: int, per_epoch: int
) -> Scheduler:
    """The schedule over a stage of `steps` optimiser steps; `step_update(n)` sets the rate of step n.

    Its durations are handed to timm in steps, so that a stage need not end with an epoch.
    """
    constant = config.name == "constant"
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched="step" if constant else config.name,
        num_epochs=steps,
        warmup_epochs=round(config.warmup_epochs * per_epoch),
        warmup_lr=config.warmup_lr,
        min_lr=config.min_lr,
        decay_epochs=round(config.decay_epochs * per_epoch) if config.decay_epochs else steps,
        decay_milestones=[round(m * per_epoch) for m in config.decay_milestones or ()],
        decay_rate=1.0 if constant else config.decay_rate,
        step_on_epochs=False,
        updates_per_epoch=1,
    )
    return scheduler
