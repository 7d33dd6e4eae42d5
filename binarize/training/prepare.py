"""Where a training begins: a run or a model, converted as the recipe says, with initial weights."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from binarize import models
from binarize.errors import TrainingError
from binarize.imgsize import ImgSize, img_size_text
from binarize.progress import Progress
from binarize.recipe import schema
from binarize.recipe.schema import Recipe
from binarize.rewrite import (
    Converted,
    FloatModel,
    Options,
    SourceOptions,
    added_keys,
    convert_float,
    inventory,
    open_float,
    open_latent,
    options_of,
    shrinking_stem,
    with_classes,
)
from binarize.run import (
    ConversionRecord,
    EstimatorSpec,
    LayerChoice,
    Preprocess,
    Run,
    RunInfo,
    layout,
    locate,
    newest_run,
)
from binarize.run.weights import load_state, read_state

FLOAT = Options(keep=("*",), stem="keep")
"""The options that leave every layer float."""

SMALL = 64
"""Up to this many pixels, a stem that was made for 224 leaves nothing to look at."""

RunOrModel = Run | str | Path


def choose_target(
    recipe: Recipe, target: RunOrModel | None, progress: Progress
) -> tuple[RunOrModel, schema.Model | None]:
    """What is trained: a run (and None) or a model (and its section of the recipe).

    A target given wins over the recipe's `model` section; without either it is the newest run. Raises
    RunError where the target is a directory but no run.
    """
    section = recipe.model
    if target is None and section is None:
        run = newest_run(skipped=progress.warn)
        progress.say(f"training the newest run, {run.path}")
        return run, None
    if target is None:
        assert section is not None
        return section.name, section
    name = str(target.path if isinstance(target, Run) else target)
    if section is not None and name != section.name:
        progress.say(f"training {name}, not the recipe's model ({section.name})")
    if isinstance(target, (Run, Path)) or _is_path(name):
        locate(target)
        return target, None
    if section is None or section.name != name:
        section = schema.Model(name=name)
    return name, section


@dataclass(frozen=True)
class Prepared:
    """What a training begins with.

    Attributes:
        converted: the module with its initial weights, and its RunInfo.
        parent: the file of the weights of the float model that the run behind it was fitted to, if it was
            and they were kept.
        same: whether it is binary as the run behind it is: not where the recipe changes what is binary, or
            how.
        anew: which part of a float model that was trained begins with random weights; "" where none does.
    """

    converted: Converted
    parent: Path | None
    same: bool
    anew: str

    @property
    def fitted(self) -> bool:
        """Whether it was fitted as what it is."""
        return self.same and (self.converted.info.fit is not None or self.parent is not None)


def prepare(
    target: RunOrModel,
    section: schema.Model | None,
    recipe: Recipe,
    classes: list[str] | None,
    progress: Progress,
) -> Prepared:
    """`target` converted as the recipe says, with a classifier for `classes`; None: the one that it has."""
    size = recipe.data.img_size
    if section is None:
        opened = open_latent(_path(target), size)
        float_model = _with_data_classes(opened, classes, progress)
        new_classifier = float_model is not opened
        before = float_model.info.conversion
        kept = options_of(before) if before and before.parameters else None
        options = merge(kept, recipe.binarize, progress)
        same = kept is not None and replace(kept, stem="keep") == options
    else:
        float_model, new_classifier = _from_library(section, size, classes, progress)
        options = replace(
            merge(None, recipe.binarize or schema.Binarize(), progress), stem=section.stem
        )
        same = False
    converted = convert_float(float_model, options, values=section is not None)
    learned = section is None and _take_over(target, converted)
    for note in converted.conversion.notes:
        progress.say(note)
    _warn_of_stem(converted, progress)
    info = converted.info.replace(
        kind="trained",
        conversion=_kept(converted.conversion.replay.replace(learned_inputs=learned)),
        preprocess=overlaid(converted.info.preprocess, recipe.data),
        classes=converted.info.classes if classes is None else classes,
        created=time.time(),
    )
    parent = None
    if section is None and not new_classifier:
        parent = locate(target)[0].path / layout.PARENT
    parent = parent if parent is not None and parent.is_file() else None
    new_stem = section is not None and converted.conversion.replay.replaced_stem is not None
    return Prepared(
        Converted(converted.conversion, info),
        parent,
        same,
        "classifier" if new_classifier else "stem" if new_stem else "",
    )


def merge(kept: Options | None, section: schema.Binarize | None, progress: Progress) -> Options:
    """The options of a run with the fields that the recipe sets in their place; the stem stays.

    `kept` is None for a float run: it takes the whole section, or stays float without one.
    """
    if section is None:
        return replace(kept, stem="keep") if kept is not None else FLOAT
    written: dict[str, Any] = {
        "estimator": section.estimator.spec,
        "scale": section.scale,
        "bases": section.bases,
        "layers": tuple(map(_choice, section.layers)),
        "standardise": section.standardise,
        "keep": tuple(section.keep),
        "include": tuple(section.include),
        "activations": section.activations,
        "structure": section.structure,
    }
    if kept is None:
        return Options(**written, stem="keep")
    changed = {name: written[name] for name in section.model_fields_set}
    for name, value in changed.items():
        before, after = plain(getattr(kept, name)), plain(value)
        if before != after:
            progress.say(f"{name}: {after} (the recipe's), not {before} (the run's)")
    return replace(kept, **changed, stem="keep")


def _choice(choice: schema.LayerChoice) -> LayerChoice:
    """An entry of the recipe's `layers` as a run keeps it."""
    return LayerChoice(
        match=choice.match,
        estimator=choice.estimator.spec if choice.estimator is not None else None,
        scale=choice.scale,
        bases=choice.bases,
        standardise=choice.standardise,
    )


def has_learned_inputs(info: RunInfo) -> bool:
    """Whether a run began with binary inputs that an earlier training had learned."""
    return info.conversion is not None and info.conversion.learned_inputs


def _take_over(target: RunOrModel, converted: Converted) -> bool:
    """Put the thresholds, shifts and slopes that the run `target` was trained to back in their places.

    Returns whether there were any. A run that was only converted and not fitted, or with other binary
    inputs or another structure, has none of them.
    """
    run, weights = locate(target)
    before, after = run.info.conversion, converted.conversion.replay
    same = before is not None and (before.activations, before.structure) == (
        after.activations,
        after.structure,
    )
    learned = run.info.kind == "trained" or run.info.fit is not None
    added = added_keys(converted.info) if same and learned else set()
    state = read_state(weights) if added else {}
    own = converted.conversion.model.state_dict()
    kept = {key: state[key] for key in added & state.keys() if state[key].shape == own[key].shape}
    load_state(converted.conversion.model, kept, strict=False)
    return bool(kept)


def plain(option: Any) -> Any:
    """An option as a recipe has it: an estimator without constants as its name, lists for tuples."""
    if isinstance(option, EstimatorSpec):
        return option.to_json() if option.constants else option.name
    if isinstance(option, LayerChoice):
        given = {name: plain(value) for name, value in option}
        return {name: value for name, value in given.items() if value is not None}
    return [plain(item) for item in option] if isinstance(option, (tuple, list)) else option


def overlaid(preprocess: Preprocess, data: schema.Data) -> Preprocess:
    """`preprocess` with what the recipe's data section sets of it."""
    given = {name: getattr(data, name) for name in Preprocess.model_fields}
    return preprocess.replace(**{name: x for name, x in given.items() if x is not None})


def _is_path(name: str) -> bool:
    """Whether `name` means a run rather than a model."""
    library, slash, _ = name.partition("/")
    known = library in ("timm", "torchvision") or ":" in name
    return Path(name).is_dir() or bool(slash and not known)


def _path(target: RunOrModel) -> Path:
    return target.path if isinstance(target, Run) else Path(target)


def _from_library(
    section: schema.Model, size: ImgSize | None, classes: list[str] | None, progress: Progress
) -> tuple[FloatModel, bool]:
    """The model, and whether its classifier does not belong to its pretrained weights.

    Raises TrainingError where the recipe says another number of classes than the data has.
    """
    models.parse(section.name)  # a recipe is a file: it names no code and no place to fetch from
    if section.num_classes and classes is not None and section.num_classes != len(classes):
        raise TrainingError(
            f"model.num_classes is {section.num_classes}, and the data has {len(classes)} classes: "
            f"{', '.join(classes[:3])}{', …' if len(classes) > 3 else ''}",
            "omit it: the classifier is made for the data's classes",
        )
    source = SourceOptions(
        pretrained=section.pretrained,
        checkpoint=section.checkpoint,
        num_classes=section.num_classes or (None if classes is None else len(classes)),
        img_size=size,
        kwargs=section.kwargs,
    )
    try:
        float_model = open_float(section.name, source)
    except models.OtherClasses as other:
        if section.num_classes is not None:
            raise
        float_model = open_float(section.name, replace(source, num_classes=other.classes))
    progress.say(f"{section.name}, weights: {float_model.info.weights}")
    known = _with_data_classes(float_model, classes, progress)
    if known is not float_model:
        return known, True
    anew = bool(known.info.random)
    if anew:
        number = models.num_classes(known.model)
        progress.say(f"the classifier starts anew, for the data's {number} classes")
    return known, anew


def _with_data_classes(
    float_model: FloatModel, classes: list[str] | None, progress: Progress
) -> FloatModel:
    """The classifier starts anew where it was made for other classes than the data has."""
    models.require("train", float_model.model)
    if classes is None:
        return float_model
    before, known = models.num_classes(float_model.model), float_model.info.classes
    if before == len(classes) and known in ([], classes):
        return float_model
    names = ", ".join(classes[:3])
    progress.say(
        f"the classifier starts anew: it had {before} classes, the data has {len(classes)} "
        f"({names}{', …' if len(classes) > 3 else ''})"
    )
    return with_classes(float_model, len(classes))


def _warn_of_stem(converted: Converted, progress: Progress) -> None:
    preprocess, trace = converted.info.preprocess, converted.conversion.trace
    if (
        max(preprocess.sides) > SMALL or converted.conversion.replay.stem == "auto"
    ):  # which has said so itself
        return
    if shrinking_stem(converted.conversion.model, trace, inventory(trace)) is not None:
        size = img_size_text(preprocess.img_size)
        progress.warn(
            f"the network's first layers are made for large images, and these have {size} pixels",
            f"binarize convert with --img-size {size} --stem cifar puts a 3x3 stem with random weights there",
        )


def _kept(conversion: ConversionRecord) -> ConversionRecord | None:
    """What the run keeps of a conversion: nothing where nothing was changed."""
    return conversion if conversion.parameters or conversion.replaced_stem else None
