"""Make the directory of a new training: everything that `resume.go_on` needs, before the first step."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from binarize import environment
from binarize.data import check_cache, open_dataset
from binarize.data.transforms import check_policy
from binarize.errors import TrainingError
from binarize.exporting.size import packed_size
from binarize.layers import binary_inputs
from binarize.progress import Progress
from binarize.recipe import Recipe, dump
from binarize.recipe.schema import FLOAT_TEACHER, Binarize, Stage
from binarize.rewrite import Conversion, Converted, summary, totals
from binarize.run import (
    DataRecord,
    RunInfo,
    layout,
    locate,
    new_directory,
    new_run,
    write_info,
    write_json,
    write_text,
)
from binarize.run.weights import read_state, save_weights
from binarize.training.estimator_progress import own_estimators, use_estimator
from binarize.training.objective import mixer
from binarize.training.optim import make_optimizer
from binarize.training.plan import build_schedule
from binarize.training.prepare import RunOrModel, choose_target, plain, prepare
from binarize.training.seeding import seed_everything


def start(
    recipe: Recipe, name: str, target: RunOrModel | None, out: Path | None, progress: Progress
) -> Path:
    """Write a new run that is ready to be trained, and return its directory.

    `name` is the recipe's, for the directory's name. Nothing is written before everything is known to
    be right: the target, the data and its classes, the conversion.
    """
    chosen, section = choose_target(recipe, target, progress)
    classes = _classes(recipe, progress)
    seed_everything(recipe.seed)
    converted = prepare(chosen, section, recipe, classes, progress)
    _check_stages(recipe, converted.conversion.model)
    _check_teachers(recipe, converted.info, chosen)
    directory = recipe.data.dir and str(Path(recipe.data.dir).absolute())
    info = converted.info.replace(data=DataRecord.make(name=recipe.data.name, dir=directory))
    resolved = recipe.model_copy(
        update={
            "model": section,
            "binarize": as_section(info),
            "data": recipe.data.model_copy(update={"dir": directory, **dict(info.preprocess)}),
        }
    )
    if not info.binary:
        progress.warn(
            "the model stays float: neither the run nor the recipe says what to binarize",
            "--set binarize.estimator=ab-tanh binarizes it",
        )
    converted = _ending_with(recipe.stages[-1], resolved, converted.conversion, info)
    parent = _parent(chosen, info)
    if out is not None:
        with new_directory(out) as part:
            _write(part, resolved, converted, parent)
        return out
    with new_run(f"{info.model.name}-{name}", layout.ROOT) as made:
        _write(made.directory, resolved, converted, parent)
    return made.path


def _parent(target: RunOrModel, info: RunInfo) -> Path | None:
    """The weights of the float parent that the training begins with, if it has one that was kept."""
    if info.fit is None:
        return None
    run, _ = locate(target)
    return run.path / layout.PARENT if (run.path / layout.PARENT).is_file() else None


def _ending_with(
    stage: Stage, resolved: Recipe, conversion: Conversion, info: RunInfo
) -> Converted:
    """The run is described by the estimator that it ends with: that one's parameters are in its weights."""
    if stage.estimator is not None and info.conversion is not None and info.binary:
        info = info.replace(conversion=info.conversion.replace(estimator=stage.estimator.spec))
        own = own_estimators(info, conversion.model)
        use_estimator(conversion.model, resolved, stage, own)
    return Converted(conversion, info)


def as_section(info: RunInfo) -> Binarize | None:
    """The `binarize` section that says what was done, every field of it."""
    if info.conversion is None or not info.binary:
        return None
    return Binarize.model_validate(
        {name: plain(getattr(info.conversion, name)) for name in Binarize.model_fields}
    )


def _classes(recipe: Recipe, progress: Progress) -> list[str]:
    """The data's class names. Raises where a split is missing, or there is not one batch of images."""
    check_cache(recipe.data)
    check_policy(recipe.data.augment)
    undecoded = recipe.data.model_copy(update={"cache": False})
    images = open_dataset(undecoded, "train", say=progress.say)
    classes = list(images.classes)
    open_dataset(undecoded, "test", classes, say=progress.say)
    build_schedule(recipe.stages, len(images) // recipe.data.batch_size)
    return classes


def _check_stages(recipe: Recipe, model: nn.Module) -> None:
    """Raises for a stage that could not begin, before an earlier one has cost hours."""
    has_inputs = any(True for _ in binary_inputs(model))
    for number, stage in enumerate(recipe.stages):
        if stage.binary == "activations" and not has_inputs:
            raise TrainingError(
                f"stages.{number}.binary is activations, and the model's stay float",
                "binarize them: --set binarize.activations=step",
            )
        make_optimizer(stage.optimizer, model)
        mixer(stage, classes=1, batch_size=recipe.data.batch_size)


def _check_teachers(recipe: Recipe, info: RunInfo, target: RunOrModel) -> None:
    """Raises TrainingError for a stage that would learn from random weights, RunError for one whose float
    teacher was not kept, before anything is trained."""
    for number, stage in enumerate(recipe.stages):
        if stage.distill is None or stage.distill.teacher != FLOAT_TEACHER or recipe.twin:
            continue
        if info.has_random_weights:
            raise TrainingError(
                f"stages.{number}.distill learns from the float model, which has random weights",
                "train its float baseline first, and learn from that: --set twin=true",
            )
        if info.fit is not None:
            _ = locate(target)[0].float_weights


def _write(directory: Path, recipe: Recipe, converted: Converted, parent: Path | None) -> None:
    conversion, info = converted.conversion, converted.info
    if parent is not None:
        save_weights(directory / layout.PARENT, read_state(parent))
    save_weights(directory / layout.INITIAL, conversion.model.state_dict())
    write_text(directory / layout.RECIPE, dump(recipe))
    write_json(directory / layout.ENVIRONMENT, environment.describe())
    sums = totals(conversion, packed_size(conversion.model, conversion.trace))
    write_json(directory / layout.SUMMARY, summary(conversion.rows, sums))
    if recipe.twin and info.binary:
        write_info(directory / layout.BASELINE, info.undone())
    write_info(directory, info)
