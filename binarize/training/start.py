"""Make the directory of a new training: everything that `resume.go_on` needs, before the first step."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from binarize import environment
from binarize.data import (
    NotSplit,
    Unlabelled,
    check_cache,
    has_split,
    once,
    open_dataset,
    sources_beside_training,
    whole_of,
)
from binarize.data.transforms import check_policy
from binarize.errors import DataError, RunError, TrainingError
from binarize.exporting.size import packed_size
from binarize.layers import binary_inputs
from binarize.progress import Progress
from binarize.recipe import Data, Recipe, dump
from binarize.recipe.images import FILES
from binarize.recipe.schema import Binarize, Stage
from binarize.rewrite import Conversion, Converted, added_keys, summary, totals
from binarize.run import (
    DataRecord,
    RunInfo,
    Sensitivities,
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
from binarize.training.prepare import Prepared, RunOrModel, choose_target, plain, prepare
from binarize.training.seeding import seed_everything

UNLABELLED = "without labels: binarize convert MODEL --calib-data DIR"


def start(
    recipe: Recipe, name: str, target: RunOrModel | None, out: Path | None, progress: Progress
) -> Path:
    """Write a new run that is ready to be trained, and return its directory.

    `name` is the recipe's, for the directory's name. Nothing is written before everything is known to
    be right: the target, the data and its classes, the conversion.
    """
    chosen, section = choose_target(recipe, target, progress)
    recipe, classes = _with_labels(recipe, progress)
    seed_everything(recipe.seed)
    prepared = prepare(chosen, section, recipe, classes, progress)
    converted = prepared.converted
    recipe = _without_skipped(recipe, prepared, progress)
    _check_stages(recipe, converted.conversion.model)
    _check_teachers(recipe, prepared, chosen)
    directory = recipe.data.dir and str(Path(recipe.data.dir).absolute())
    info = converted.info.replace(data=_record(recipe.data, directory))
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
    parent = _parent(resolved, prepared)
    sensed = _sensitivity(chosen, prepared, progress) if parent is not None else None
    if out is not None:
        with new_directory(out) as part:
            _write(part, resolved, converted, parent, sensed)
        return out
    with new_run(f"{info.model.name}-{name}", layout.ROOT) as made:
        _write(made.directory, resolved, converted, parent, sensed)
    return made.path


def _record(data: Data, directory: str | None) -> DataRecord:
    images = None
    if data.holdout and data.name in FILES and data.labels is not False:
        images = whole_of(open_dataset(data.model_copy(update={"cache": False}), "train"))
    return DataRecord.make(
        name=data.name,
        dir=directory,
        holdout=data.holdout,
        images=images,
        on_error=data.on_error,
    )


def _parent(recipe: Recipe, prepared: Prepared) -> dict[str, Tensor] | None:
    """The weights of the float model behind it, where those that are trained are others, or will be: it is
    the one that they learn from. They began as its own."""
    if prepared.parent is not None:
        return read_state(prepared.parent)
    if recipe.twin or not any(stage.float_teacher for stage in recipe.stages):
        return None
    info, model = prepared.converted.info, prepared.converted.conversion.model
    added = added_keys(info)
    return {name: value for name, value in model.state_dict().items() if name not in added}


def _sensitivity(
    target: RunOrModel, prepared: Prepared, progress: Progress
) -> Sensitivities | None:
    """What each layer of the float model behind it costs, where the run that it goes on from says so, and is
    binary in the same way."""
    if not prepared.same or prepared.anew:
        return None
    run, weights = locate(target)
    if prepared.parent is None and weights != run.float_weights:  # those of another checkpoint
        return None
    try:
        return run.sensitivity
    except RunError as problem:
        progress.warn(f"{problem.message}: the new run is made without it")
        return None


def _without_skipped(recipe: Recipe, prepared: Prepared, progress: Progress) -> Recipe:
    """The recipe without the stages that a network needs which was not fitted yet."""
    if not prepared.fitted:
        return recipe
    for number, stage in enumerate(recipe.stages):
        if stage.skip_if is not None:
            name = f'"{stage.name}"' if stage.name else str(number + 1)
            progress.say(f"stage {name} is skipped: the run is fitted to its float model already")
    stages = [stage for stage in recipe.stages if stage.skip_if is None]
    return recipe.model_copy(update={"stages": stages})


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


def _with_labels(recipe: Recipe, progress: Progress) -> tuple[Recipe, list[str] | None]:
    """The recipe with `data.labels` decided, and the data's class names; None without labels.

    Raises where a split is missing, or labels that are needed, or there is not one batch of images.
    """
    check_cache(recipe.data)
    check_policy(recipe.data.augment)
    needed = _needs_labels(recipe)
    try:
        labelled = recipe.data.labels is not False
        classes = _open(recipe, labelled, progress)
    except Unlabelled as problem:
        if needed is not None and isinstance(problem, NotSplit):
            raise
        if needed is not None:
            raise DataError(
                f"{problem.message}, and {needed}", f"{problem.hint}; {UNLABELLED}"
            ) from problem
        if recipe.data.name not in FILES or recipe.data.labels is True:
            raise
        progress.say("the images have no labels, and no stage needs them")
        labelled, classes = False, _open(recipe, False, progress)
    data = recipe.data.model_copy(update={"labels": labelled})
    return recipe.model_copy(update={"data": data}), classes if labelled else None


def _open(recipe: Recipe, labelled: bool, progress: Progress) -> list[str]:
    """The data's class names."""
    undecoded = recipe.data.model_copy(update={"cache": False, "labels": labelled})
    say = once(progress.say)
    images = open_dataset(undecoded, "train", say=say, progress=progress)
    classes = list(images.classes)
    beside = sources_beside_training(undecoded)
    _check_early_stops(recipe)
    for split in beside:
        open_dataset(undecoded, split, classes, say=say, progress=progress)
    if undecoded.holdout and labelled:
        aside = len(open_dataset(undecoded, "holdout", classes))
        progress.say(f"{aside:,} of them are set aside and judge, {len(images):,} are trained on")
    build_schedule(recipe.stages, len(images) // recipe.data.batch_size)
    return classes


def _check_early_stops(recipe: Recipe) -> None:
    """Raises DataError for a stage that would end by what it does on the test images."""
    number = next(
        (n for n, stage in enumerate(recipe.stages) if stage.early_stop is not None), None
    )
    if number is not None and not has_split(recipe.data, "holdout"):
        raise DataError(
            f"stages.{number}.early_stop needs images to judge by besides the test images",
            "set some aside: --set data.holdout=0.2",
        )


def _needs_labels(recipe: Recipe) -> str | None:
    """What needs labels, in words; None: nothing does."""
    for number, stage in enumerate(recipe.stages):
        if stage.needs_labels:
            return f"stages.{number} learns from labels"
        if recipe.twin and stage.float_teacher:
            return "the float baseline learns from labels"
    return None


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


def _check_teachers(recipe: Recipe, prepared: Prepared, target: RunOrModel) -> None:
    """Raises TrainingError for a stage that would learn from random weights, RunError for one whose float
    teacher was not kept, before anything is trained."""
    info = prepared.converted.info
    for number, stage in enumerate(recipe.stages):
        if not stage.float_teacher or recipe.twin:
            continue
        if info.has_random_weights or prepared.anew:
            what = "random weights" if info.has_random_weights else f"a new {prepared.anew}"
            raise TrainingError(
                f"stages.{number}.distill learns from the float model, which has {what}",
                "train its float baseline first, and learn from that: --set twin=true",
            )
        if info.fit is not None:
            _ = locate(target)[0].float_weights


def _write(
    directory: Path,
    recipe: Recipe,
    converted: Converted,
    parent: dict[str, Tensor] | None,
    sensed: Sensitivities | None,
) -> None:
    conversion, info = converted.conversion, converted.info
    if parent is not None:
        save_weights(directory / layout.PARENT, parent)
    if sensed is not None:
        write_json(directory / layout.SENSITIVITY, sensed.to_json())
    save_weights(directory / layout.INITIAL, conversion.model.state_dict())
    write_text(directory / layout.RECIPE, dump(recipe))
    write_json(directory / layout.ENVIRONMENT, environment.describe())
    sums = totals(conversion, packed_size(conversion.model, conversion.trace))
    write_json(directory / layout.SUMMARY, summary(conversion.rows, sums))
    if recipe.twin and info.binary:
        write_info(directory / layout.BASELINE, info.undone())
    write_info(directory, info)
