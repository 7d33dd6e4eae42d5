"""Optimiser and learning-rate schedule of a stage, both timm's."""

from __future__ import annotations

from typing import Any

from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.optim import Optimizer

from binarize.errors import RecipeError
from binarize.recipe import schema


def make_optimizer(config: schema.Optimizer, model: nn.Module) -> Optimizer:
    """The optimiser over the parameters of `model`.

    Raises RecipeError for a name that timm does not know or an argument that it does not take.
    """
    extra: dict[str, Any] = dict(config.kwargs)
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
