"""Training by recipe: `train` makes a run and trains it, or resumes one that was interrupted.

plan         the stages of a recipe as epochs
prepare      what is trained: a run or a model, converted
calibration  thresholds and shifts of binary inputs, before their first step
start        the new run's directory, complete before the first step
resume       from a run's directory to its end; `alone` keeps a second training away
engine       the loop over epochs of one model; `phase` says which, `stages` holds what lives as long as one
             stage, `steps` makes the optimiser steps of one epoch
checkpoint   last/ and best/, without pickle
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from binarize import outputs
from binarize.errors import TrainingError, near_words
from binarize.progress import Progress
from binarize.recipe import Recipe, load
from binarize.training.alone import alone_in
from binarize.training.device import cpu_threads, leave_group_at_exit, make_accelerator
from binarize.training.prepare import RunOrModel
from binarize.training.resume import TrainResult, go_on, open_training
from binarize.training.start import start

__all__ = ["TrainResult", "train"]


@near_words
def train(
    recipe: Recipe | str | Path | None = None,
    target: RunOrModel | None = None,
    *,
    data_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    resume: str | Path | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a model by a recipe into a new run, or finish a run that was interrupted.

    Args:
        recipe: name of a shipped recipe, a YAML file, or a Recipe.
        target: a run to start from, or the name of a model. Left out: the recipe's model, else the newest
            run under runs/.
        data_dir: where the images are; wins over the recipe's data.dir.
        overrides: "key=value" changes to the recipe, as `--set` takes them.
        out: the new run's directory; by default one under runs/.
        resume: a run to finish, in place of recipe and target. On CPU it ends with the weights that it
            would have had without the interruption, bit for bit.
        progress: is told how it goes: a task of optimiser steps for each model, and a row for each epoch.

    Under `accelerate launch` every process calls this; the first one writes.
    Raises the errors of binarize.errors, RunBusyError where another training is under way in the run; its
    directory stays resumable through all of them.
    """
    progress = progress or Progress()
    if resume is not None:
        path = Path(resume)
        training = open_training(path, data_dir)
        accelerator = make_accelerator(training.recipe.engine, training.recipe.data.batch_size)
    elif recipe is None:
        raise TrainingError("there is no recipe to train by", "name one: binarize recipes ls")
    else:
        if out is not None:
            outputs.check_directory(out)
        chosen, name = _recipe(recipe, overrides, data_dir)
        accelerator = make_accelerator(chosen.engine, chosen.data.batch_size)
        directory = Path(out) if out else None
        path = _start(accelerator, chosen, name, target, directory, progress)
        training = open_training(path)
    with alone_in(training.run.path, accelerator), cpu_threads(training.recipe.engine.threads):
        if accelerator.is_main_process:
            progress.run(training.run.path)
            progress.say(f"run: {training.run.path}")
        else:
            progress = Progress()
        result = go_on(training, accelerator, progress)
    leave_group_at_exit()
    return result


def _recipe(
    recipe: Recipe | str | Path, overrides: Sequence[str], data_dir: str | Path | None
) -> tuple[Recipe, str]:
    """The recipe as it shall be run, and its name."""
    name = "recipe" if isinstance(recipe, Recipe) else Path(recipe).stem
    if not isinstance(recipe, Recipe):
        recipe = load(recipe, overrides)
    elif overrides:
        raise TrainingError("overrides change a recipe that is loaded by name", "load it with them")
    if data_dir is not None:
        data = recipe.data.model_copy(update={"dir": str(data_dir)})
        recipe = recipe.model_copy(update={"data": data})
    return recipe, name


def _start(
    accelerator: Accelerator,
    recipe: Recipe,
    name: str,
    target: RunOrModel | None,
    out: Path | None,
    progress: Progress,
) -> Path:
    """The first process makes the run's directory; the others learn where it is, or that it failed."""
    made: list[str | None] = [None]
    try:
        if accelerator.is_main_process:
            made[0] = str(start(recipe, name, target, out, progress))
    finally:
        broadcast_object_list(made)
    if made[0] is None:
        raise TrainingError("the first process could not start the training", "see what it said")
    return Path(made[0])
