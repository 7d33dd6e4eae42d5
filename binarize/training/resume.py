"""Train what a run's directory describes, from where it is to its end.

A new training is one that has done nothing yet: `start` writes the directory, then this continues from it.
"""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from accelerate import Accelerator
from torch import nn

from binarize.data import has_split, test_loader, train_loader, val_loader
from binarize.errors import CheckpointError, DataError, RunError
from binarize.progress import Progress
from binarize.recipe import Recipe, load
from binarize.recipe.schema import FLOAT_TEACHER, Distill
from binarize.rewrite import added_keys, build_named
from binarize.run import Run, RunInfo, layout, open_run, tables
from binarize.run.weights import load_weights
from binarize.training import checkpoint
from binarize.training.answers import keep_answers
from binarize.training.device import shard_test, shard_train
from binarize.training.engine import Trainer
from binarize.training.estimator_progress import own_estimators
from binarize.training.phase import Loaders, Phase
from binarize.training.plan import build_schedule
from binarize.training.prepare import has_learned_inputs
from binarize.training.teacher import make_teacher
from binarize.training.training_state import TrainingState


@dataclass(frozen=True)
class TrainResult:
    """What came out. The JSON of `binarize train`; accuracies in per cent, of `top1_on`.

    Of images without labels there is no accuracy: `top1`, `top5` and `top1_best` are about the answers of the
    teacher in their place, and the JSON has `agreement` and `agreement_best` instead.

    Attributes:
        run: the run's directory.
        epochs: that the model was trained for: fewer than the recipe's where a stage ended early.
        top1, top5: of the last epoch, which is what every later command uses.
        top1_best, epoch_best: of the best epoch, in RUN/best; on the held-out images where there are any.
        top1_float: of the float baseline's last epoch; None where the recipe trains none.
        seconds: spent in epochs, the baseline's included.
        labelled: whether the images have labels.
        weights: where they began, in words.
        random: the layers that began with random weights although the others did not.
        top1_on: "test", or "holdout" where there are no test images and `top1` is of the held-out ones.
    """

    run: str
    epochs: int
    top1: float
    top5: float
    top1_best: float
    epoch_best: int
    top1_float: float | None
    seconds: float
    labelled: bool = True
    weights: str = ""
    random: tuple[str, ...] = ()
    top1_on: Literal["test", "holdout"] = "test"

    def as_json(self) -> dict[str, Any]:
        content = dict(vars(self))
        del content["labelled"]
        if self.top1_float is None:
            del content["top1_float"]
        if not self.labelled:
            del content["top5"], content["top1_on"]
            content["agreement"] = content.pop("top1")
            content["agreement_best"] = content.pop("top1_best")
        return content


@dataclass(frozen=True)
class Training:
    """A run's directory, read: what has to be trained, in order."""

    run: Run
    info: RunInfo
    recipe: Recipe

    @property
    def phases(self) -> list[tuple[str, Path, RunInfo]]:
        """(name, directory, RunInfo) of the float baseline, where there is one, then of the model."""
        name = "binarized" if self.info.binary else "float model"
        phases = [(name, self.run.path, self.info)]
        if self.recipe.twin and self.info.binary:
            baseline = self.run.path / layout.BASELINE
            phases.insert(0, ("float baseline", baseline, self.info.undone()))
        return phases


def open_training(path: str | Path, data_dir: str | Path | None = None) -> Training:
    """The training in a run's directory. Raises RunError where the directory is of another kind.

    `data_dir` is where the images are now, if they have moved.
    """
    path = Path(path)
    if path.name == layout.BASELINE and (path.parent / layout.RECIPE).is_file():
        path = path.parent
    run = open_run(path)
    if not (path / layout.RECIPE).is_file():
        raise RunError(
            f'run "{path}" was not made by train, so there is nothing to resume',
            f"train it: binarize train --recipe digits {path}",
        )
    recipe = load(path / layout.RECIPE)
    if data_dir is not None:
        data = recipe.data.model_copy(update={"dir": str(data_dir)})
        recipe = recipe.model_copy(update={"data": data})
    return Training(run, run.info, recipe)


def go_on(training: Training, accelerator: Accelerator, progress: Progress) -> TrainResult:
    """Train what is left of it and say what came out. A finished training is only reported."""
    path = training.run.path
    if accelerator.is_main_process:
        for _, directory, _ in training.phases:
            checkpoint.recover(directory)
    accelerator.wait_for_everyone()
    found = [finished(directory, training.recipe) for _, directory, _ in training.phases]
    states = [state for state in found if state is not None]
    if len(states) == len(found):
        progress.say(f"run {path} is finished: nothing is left to train")
        return _ended(training, states, accelerator)
    try:
        trainer = _trainer(training, accelerator, progress)
    except DataError as problem:  # of data and classes that the run names
        raise DataError(f'"{path}": {problem.message}', problem.hint) from problem
    states = []
    for state, (name, directory, info) in zip(found, training.phases, strict=True):
        if state is None:
            begun = (directory / layout.LAST).exists()
            weights = directory / layout.LAST / layout.WEIGHTS if begun else path / layout.INITIAL
            model = build_named(info, directory / layout.INFO, weights)
            if not begun and directory != path and (path / layout.PARENT).is_file():
                load_weights(model, path / layout.PARENT)
            elif not begun:
                _load_initial(model, path, added_keys(training.info))
            state = trainer.train(_phase(training, name, directory, info, model))
        states.append(state)
    if accelerator.is_main_process:
        _keep_answers(training, accelerator, progress)
    return _ended(training, states, accelerator)


def _keep_answers(training: Training, accelerator: Accelerator, progress: Progress) -> None:
    """The training is done, and is not undone by an image that has vanished meanwhile."""
    try:
        keep_answers(training.run, training.info, training.recipe, accelerator, progress)
    except DataError as problem:
        progress.warn(f"no answers of single images are kept: {problem.message}", problem.hint)


def _ended(
    training: Training, states: list[TrainingState], accelerator: Accelerator
) -> TrainResult:
    """The outcome of a training that is done, whose initial weights nobody needs any more."""
    path = training.run.path
    if accelerator.is_main_process:
        shutil.rmtree((path / layout.INITIAL).parent, ignore_errors=True)
    outcome = result(path, states, training.recipe.data.labels is not False)
    info = training.info
    return replace(outcome, weights=info.weights, random=tuple(info.random))


def _phase(
    training: Training, name: str, directory: Path, info: RunInfo, model: nn.Module
) -> Phase:
    """A float baseline does not learn from the float model: that is what it is."""
    is_twin = directory != training.run.path

    def teacher(distill: Distill) -> nn.Module | None:
        if is_twin and distill.teacher == FLOAT_TEACHER:
            return None
        return make_teacher(distill, training.run.path, training.info)

    own = own_estimators(info, model)
    return Phase(name, directory, model, has_learned_inputs(info), own, teacher)


def finished(directory: Path, recipe: Recipe) -> TrainingState | None:
    """The state of a phase that is done; None where something is left. Raises CheckpointError."""
    if not (directory / layout.LAST).exists():
        return None
    last = directory / layout.LAST
    state = TrainingState.of(checkpoint.check(last)["place"], last)
    planned = len(build_schedule(recipe.stages, state.per_epoch))
    if not 0 < state.epochs <= planned:
        raise CheckpointError(
            f'"{last}" is damaged: it says that {state.epochs} of {planned} epochs are done',
            f'remove "{last}" and resume again: training starts over from the initial weights',
        )
    return state if state.epochs == planned else None


def result(path: Path, states: list[TrainingState], labelled: bool) -> TrainResult:
    """The outcome of a run from the states of its phases, the binarized model's last."""
    main = states[-1]
    return TrainResult(
        run=str(path),
        epochs=main.trained,
        top1=round(main.top1, 3),
        top5=round(main.top5, 3),
        top1_best=round(main.best_top1, 3),
        epoch_best=main.best_epoch,
        top1_float=round(states[0].top1, 3) if len(states) > 1 else None,
        seconds=round(sum(state.seconds for state in states), 1),
        labelled=labelled,
        top1_on=_scored_on(path),
    )


def _scored_on(path: Path) -> Literal["test", "holdout"]:
    """Which images the last epoch was scored on: the table says which there were."""
    last = (tables.METRICS.read(path) or [{}])[-1]
    held_out, tested = (
        tables.number(last, tables.scored(images, tables.TOP1))
        for images in (tables.VAL, tables.TEST)
    )
    return "holdout" if tested is None and held_out is not None else "test"


def _trainer(training: Training, accelerator: Accelerator, progress: Progress) -> Trainer:
    recipe, info = training.recipe, training.info
    shares = functools.partial(shard_test, accelerator=accelerator)
    held_out, tested = None, None
    if has_split(recipe.data, "holdout"):
        held_out = shares(val_loader(recipe.data, info.preprocess, info.classes))
    if has_split(recipe.data, "test"):
        tested = shares(test_loader(recipe.data, info.preprocess, classes=info.classes))
    train = shard_train(train_loader(recipe.data, info.preprocess), accelerator)
    loaders = Loaders(train, tested, held_out)
    classes = len(info.classes) or 1  # without labels, which are all 0
    return Trainer(recipe, accelerator, loaders, classes, progress)


def _load_initial(model: nn.Module, path: Path, added: set[str]) -> None:
    """The float baseline has no use for what conversion `added`."""
    if not (path / layout.INITIAL).is_file():
        raise CheckpointError(
            f'run "{path}" has neither a checkpoint nor its initial weights',
            f"start a new training: binarize train --recipe {path / layout.RECIPE}",
        )
    load_weights(model, path / layout.INITIAL, besides=added)
