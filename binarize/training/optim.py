"""Optimiser and learning-rate schedule of a stage, both timm's."""

from __future__ import annotations

import fnmatch
import functools
from typing import Any

from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.optim import Optimizer

from binarize.errors import RecipeError
from binarize.layers import added_modules, binary_weights
from binarize.recipe import schema


def make_optimizer(config: schema.Optimizer, model: nn.Module) -> Optimizer:
    """The optimiser over the parameters of `model`, in the groups of `grouped`.

    Raises RecipeError for a name that timm does not know or an argument that it does not take.
    """
    extra: dict[str, Any] = dict(config.kwargs)
    if config.betas is not None:
        extra["betas"] = tuple(config.betas)
    if config.eps is not None:
        extra["eps"] = config.eps
    if "layer_decay" not in extra:
        vectors = extra.pop("filter_bias_and_bn", True)
        extra["param_group_fn"] = functools.partial(grouped, config=config, spare_vectors=vectors)
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


def grouped(
    model: nn.Module, config: schema.Optimizer, spare_vectors: bool = True
) -> list[dict[str, Any]]:
    """The parameters of `model` by what they are, latent weights, what conversion added and the rest,
    each split into what decays and what does not.

    With `spare_vectors` biases and norms do not decay, nor what the model names in `no_weight_decay`
    (timm's filter). What conversion added never does unless its group says so: no threshold belongs at 0.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    spared = _spared(model, named) if spare_vectors else set()
    roles = _roles(model)
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in named.items():
        role = roles.get(id(parameter), "rest")
        decays = role == "scales" or name not in spared
        groups.setdefault((role, decays), []).append(parameter)
    return [
        {"params": params, **_settings(config, role, decays)}
        for (role, decays), params in groups.items()
    ]


def _spared(model: nn.Module, named: dict[str, nn.Parameter]) -> set[str]:
    listing = getattr(model, "no_weight_decay", None)
    listed = listing() if listing is not None else ()
    return {
        name
        for name, parameter in named.items()
        if parameter.ndim <= 1 or any(fnmatch.fnmatchcase(name, pattern) for pattern in listed)
    }


def _roles(model: nn.Module) -> dict[int, str]:
    """id of a parameter -> the name of its group, where that is not the rest."""
    added = {id(p): "scales" for module in added_modules(model) for p in module.parameters()}
    latent = {id(m._parameters[name]): "latent" for _, m, name, _ in binary_weights(model)}
    return added | latent


def _settings(config: schema.Optimizer, role: str, decays: bool) -> dict[str, Any]:
    group: schema.Group = getattr(config.groups, role)
    usual = 0.0 if role == "scales" else config.weight_decay
    decay = usual if group.weight_decay is None else group.weight_decay
    return {"weight_decay": decay if decays else 0.0, "lr_scale": group.lr_scale}


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
        decay_epochs=max(1, round(config.decay_epochs * per_epoch))
        if config.decay_epochs
        else steps,
        decay_milestones=[round(m * per_epoch) for m in config.decay_milestones or ()],
        decay_rate=1.0 if constant else config.decay_rate,
        step_on_epochs=False,
        updates_per_epoch=1,
    )
    return scheduler
