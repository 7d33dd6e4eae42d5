"""How far the estimators are: 0 at the first optimiser step that uses one, 1 at the last.

An estimator's steps are those of the stages with binary weights that use it, so no schedule ever counts
epochs, and a stage with an estimator of its own sees a whole schedule.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from binarize import estimators
from binarize.layers import binary_weights, set_progress
from binarize.recipe.schema import Recipe, Stage
from binarize.rewrite import options_of
from binarize.run import RunInfo
from binarize.training.plan import Epoch, stage_steps


class EstimatorProgress:
    """The progress at every step of a training.

    Args:
        per_epoch: optimiser steps of one pass over the data.
        own: the layers whose estimator is their own (`binarize.layers`), whatever the stage says.
    """

    def __init__(self, recipe: Recipe, per_epoch: int, own: Iterable[str]) -> None:
        self._own = frozenset(own)
        self._stages = recipe.stages
        binary = [number for number, stage in enumerate(recipe.stages) if stage.binary_weights]
        self._steps = [stage_steps(stage, per_epoch) for stage in recipe.stages]
        self._all = binary
        self._sharing = [
            [n for n in binary if recipe.stages[n].estimator == stage.estimator]
            for stage in recipe.stages
        ]

    def update(self, model: nn.Module, epoch: Epoch, step: int) -> float:
        """Set the progress of every estimator of `model` before step `step` of `epoch`; returns that of
        most."""
        common = self._share(self._sharing[epoch.stage], epoch, step)
        set_progress(model, common)
        if self._own:
            set_progress(model, self._share(self._all, epoch, step), self._own)
        return common

    def _share(self, stages: list[int], epoch: Epoch, step: int) -> float:
        """Of the steps of these stages: how many are over, of the steps between first and last."""
        done = sum(self._steps[number] for number in stages if number < epoch.stage)
        if epoch.stage in stages:
            done += epoch.start + step
        return min(done / max(sum(self._steps[number] for number in stages) - 1, 1), 1.0)


def own_estimators(info: RunInfo, model: nn.Module) -> set[str]:
    """The binary layers of a run whose estimator is their own."""
    if info.conversion is None:
        return set()
    options = options_of(info.conversion)
    choices = {name: options.choice(name) for name, *_ in binary_weights(model)}
    return {name for name, choice in choices.items() if choice is not None and choice.estimator}


def use_estimator(model: nn.Module, recipe: Recipe, stage: Stage, own: set[str]) -> None:
    """Give every binary layer the estimator of `stage`, but for those with one of their own.

    Nothing happens in a training whose stages name none: the estimators are the conversion's.
    """
    if recipe.binarize is None or all(other.estimator is None for other in recipe.stages):
        return
    section = stage.estimator or recipe.binarize.estimator
    estimator = estimators.get(section.name, **section.constants)
    for name, _, _, binarizer in binary_weights(model):
        if name not in own and binarizer.estimator != estimator:
            binarizer.use(estimator)
