"""From what a user names to a converted module and the description that builds it again."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from binarize import models
from binarize.errors import BinarizeError, ModelError, RunError
from binarize.imgsize import ImgSize, height_width, img_size_of, img_size_text
from binarize.models.attributes import set_attribute
from binarize.progress import Progress
from binarize.rewrite.build import added_keys, build_named, said_of
from binarize.rewrite.calibration import Calibrated, CalibrationImages, calibrate_part
from binarize.rewrite.capture import Size
from binarize.rewrite.convert import RANDOM, TRAINED, Conversion, Row, convert
from binarize.rewrite.model_part import (
    exported_shape,
    find_part,
    first_convolution,
    input_channels,
)
from binarize.rewrite.options import Options
from binarize.rewrite.refusals import check_kind, check_target
from binarize.run import ModelSpec, Preprocess, RunInfo, is_run, layout, locate
from binarize.run.model import CUSTOM
from binarize.run.weights import check_values, load_weights

CUSTOM_PREPROCESS = Preprocess(
    img_size=224,
    mean=[0.485, 0.456, 0.406],
    std=[0.229, 0.224, 0.225],
    interpolation="bilinear",
    crop_pct=1.0,
)

PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
COMPILED = "_orig_mod"
"""What torch.compile calls the network inside; its class takes seconds to import."""

_OPTIONS = frozenset({"pretrained", "num_classes", "img_size"})
"""What `SourceOptions` has fields for; the same in its `kwargs` would say it twice."""

FRAMES = 16
"""Of a clip: torchvision's MViT takes no other number, its other networks take any."""


@dataclass(frozen=True)
class FloatModel:
    """A float module and the RunInfo (conversion None) that builds it again.

    Attributes:
        asked_random: whether its weights are random because somebody asked for a library's name without
            pretrained ones: `stem: auto` may replace some of them.
        notes: sentences for the user.
    """

    model: nn.Module
    info: RunInfo
    asked_random: bool = False
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> Size:
        return image_size(self.model, self.info.preprocess.img_size)

    @property
    def has_random_weights(self) -> bool:
        """Whether nothing of it can have been trained: a name's weights without any that were loaded."""
        return self.info.has_random_weights

    def saying(self, **changes: Any) -> FloatModel:
        """The same model with other fields in its RunInfo."""
        return replace(self, info=self.info.replace(**changes))


@dataclass(frozen=True)
class SourceOptions:
    """Which weights and which shape a float model is opened with.

    Attributes:
        pretrained: "auto" (if they can be had), True (insist) or False (random weights); for names.
        checkpoint: weights to load instead; its classifier must have `num_classes` outputs.
        ema: of a checkpoint with two states, the averaged weights (True), the others (False), or the averaged
            ones where there are any (None).
        num_classes: size of the classifier; a run's or module's is reset where it differs.
        img_size: of the images, as `imgsize.img_size_of` reads it; None means what the model was made for.
        preprocess: fields of `Preprocess` that are otherwise than the model says; a `mean` or `std` of one
            number is that of every channel.
        classes: names of its classes, in the order of its logits. None: those of the run, if it is one.
        kwargs: further arguments of the library's constructor, or of the user's own code; for names.
    """

    pretrained: models.Pretrained = "auto"
    checkpoint: str | Path | None = None
    ema: bool | None = None
    num_classes: int | None = None
    img_size: ImgSize | None = None
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    classes: Sequence[str] | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.img_size is not None:
            try:
                object.__setattr__(self, "img_size", img_size_of(self.img_size))
            except ValueError as error:
                raise BinarizeError(f"img_size: {error}", "write 224, or 192x320") from error


def open_float(
    target: nn.Module | str | Path, options: SourceOptions = SourceOptions()
) -> FloatModel:
    """The float model that `target` means: a model name, a run (the float model behind it, see
    `Run.float_weights`), code of the user's own (`FILE.py:NAME`), or a module, which is copied.

    Raises ModelError, CheckpointError or RunError.
    """
    size, classes = options.img_size, options.num_classes
    check_target(target)
    if options.kwargs and (isinstance(target, nn.Module) or is_run(layout.run_of(Path(target)))):
        raise ModelError(
            "arguments of a model are for what makes it, and this one is made already",
            "omit --model-arg: it goes with a name or with code",
        )
    if isinstance(target, nn.Module):
        target = unwrapped(target)
        check_kind(target)
        check_values(target, "the model", ModelError)
        float_model = _from_module(target, size)
    elif models.is_own_code(str(target)):
        float_model = _from_code(str(target), options)
    elif models.is_hub_name(str(target)):
        float_model = _from_hub(str(target), options)
    elif is_run(layout.run_of(Path(target))):
        float_model = _from_run(target, size)
    else:
        fetched = _fetch(str(target), options)
        preprocess = _resized(models.default_preprocess(str(target)), size)
        info = RunInfo(
            kind="converted",
            model=fetched.spec,
            weights=fetched.weights,
            random=list(fetched.random),
            preprocess=preprocess,
        )
        asked_random = options.pretrained is False and options.checkpoint is None
        float_model = FloatModel(fetched.model, info, asked_random)
        if not float_model.has_random_weights:
            check_values(fetched.model, fetched.weights, ModelError)
    whole = models.part_of(float_model.model) is None
    if whole and classes is not None and classes != models.num_classes(float_model.model):
        float_model = with_classes(float_model, classes)
    if options.checkpoint is not None:
        loaded = models.load_checkpoint(float_model.model, options.checkpoint, options.ema)
        weights = f"checkpoint {Path(options.checkpoint).name}{' (EMA)' if loaded.ema else ''}"
        float_model = float_model.saying(weights=weights, random=[])
        float_model = replace(float_model, notes=(*float_model.notes, *loaded.notes))
    if options.preprocess:
        channels = input_channels(float_model.model)
        given = {name: _each(value, channels) for name, value in options.preprocess.items()}
        float_model = float_model.saying(preprocess=float_model.info.preprocess.replace(**given))
    if options.classes is not None:
        float_model = float_model.saying(classes=list(options.classes))
    return float_model


def _each(value: Any, channels: int) -> Any:
    """One mean or deviation as that of every channel; any other field as it is."""
    return [value] * channels if isinstance(value, float) else value


def open_latent(run: str | Path, img_size: ImgSize | None = None) -> FloatModel:
    """The float module of a run with the latent weights that it has now, to go on from them: the weights of
    the float model that it was fitted to are others (`Run.float_weights`)."""
    return _from_run(run, img_size, latent=True)


def with_classes(float_model: FloatModel, num_classes: int) -> FloatModel:
    """The same model with a new, randomly initialised classifier. No float parent has that one."""
    new = models.reset_classifier(float_model.model, num_classes)
    info = float_model.info
    spec = info.model.replace(kwargs={**info.model.kwargs, "num_classes": num_classes})
    random = [] if info.has_random_weights else sorted({*info.random, *new})
    return float_model.saying(model=spec, classes=[], fit=None, random=random)


def unwrapped(module: nn.Module) -> nn.Module:
    """The network inside of nn.DataParallel, DistributedDataParallel or torch.compile; a warning says so."""
    bare = module
    while isinstance(bare, PARALLEL) or COMPILED in bare._modules:
        bare = bare.get_submodule("module" if isinstance(bare, PARALLEL) else COMPILED)
    if bare is not module:
        warnings.warn(
            f"binarize takes the {type(bare).__name__} inside of {type(module).__name__}; wrap the result "
            "again",
            stacklevel=2,
        )
    return bare


def _resized(preprocess: Preprocess, img_size: ImgSize | None) -> Preprocess:
    return preprocess if img_size is None else preprocess.replace(img_size=img_size)


@dataclass(frozen=True)
class Converted:
    """A conversion and the RunInfo that builds it again.

    Attributes:
        calibration: what its binary inputs were calibrated on, if there are any.
        parent: the float model that it was fitted to, if it was.
        files: what else its run is to keep: name of a JSON file -> content.
    """

    conversion: Conversion
    info: RunInfo
    calibration: Calibrated | None = None
    parent: nn.Module | None = None
    files: Mapping[str, Any] = field(default_factory=dict)


def convert_float(
    float_model: FloatModel,
    options: Options,
    *,
    values: bool = True,
    progress: Progress | None = None,
    images: CalibrationImages | None = None,
) -> Converted:
    """Convert a float model in place; see `convert`. A stem that its run replaced stays replaced.

    Binary inputs are calibrated on `images`, where they are given.
    """
    submodule = options.submodule or models.part_of(float_model.model)
    options = replace(options, submodule=submodule)
    conversion = convert(
        float_model.model,
        options,
        float_model.size,
        values=values,
        random_weights=float_model.asked_random,
        progress=progress,
    )
    record, before = conversion.replay, float_model.info.conversion
    _check_names(float_model.info.classes, conversion)
    random = set(float_model.info.random)
    if record.replaced_stem is not None and not float_model.has_random_weights:
        random.add(record.replaced_stem.conv)
    if record.replaced_stem is None and before is not None:
        record = record.replace(replaced_stem=before.replaced_stem)
    info = float_model.info.replace(
        kind="converted", conversion=record, random=sorted(random), created=time.time()
    )
    rows = _with_weights(conversion.rows, info)
    conversion = replace(conversion, rows=rows, notes=[*float_model.notes, *conversion.notes])
    set_attribute(
        float_model.model, "binarize_info", info
    )  # so that export knows the preprocessing
    calibration = None
    if images is not None and options.binary_inputs:
        (progress or Progress()).task("calibrating")
        part = find_part(float_model.model, float_model.size, submodule)
        calibration = calibrate_part(part, info.preprocess, images, progress)
    return Converted(conversion, info, calibration)


def _check_names(classes: Sequence[str], conversion: Conversion) -> None:
    """Raises ModelError where there is not a name for each logit."""
    shape = conversion.trace.output_shape
    if classes and len(shape) == 2 and shape[-1] != len(classes):
        raise ModelError(
            f"there are {len(classes)} names of classes, and the model has {shape[-1]} classes",
            f"give {shape[-1]} names; --num-classes {len(classes)} gives it a new classifier",
        )


def _with_weights(rows: list[Row], info: RunInfo) -> list[Row]:
    """The layer table, with which weights are random."""
    everything = info.has_random_weights
    return [
        replace(row, weights=RANDOM if everything or row.name in info.random else TRAINED)
        for row in rows
    ]


def image_size(model: nn.Module, img_size: ImgSize) -> Size:
    """Channels, height and width of the image that `model` takes; with the frames before the height
    where it begins with a 3-d convolution and so takes a clip."""
    first = first_convolution(model)
    frames = (FRAMES,) if isinstance(first, nn.Conv3d) else ()
    return (input_channels(model), *frames, *height_width(img_size))


def _fetch(name: str, options: SourceOptions) -> models.Fetched:
    for argument in _OPTIONS.intersection(options.kwargs):
        raise ModelError(
            f'model.kwargs.{argument} is not an argument that "{name}" may be given',
            f"{argument} is an option of its own",
        )
    try:
        return models.fetch(
            name,
            pretrained=False if options.checkpoint else options.pretrained,
            num_classes=options.num_classes,
            img_size=options.img_size,
            **options.kwargs,
        )
    except ModelError as error:
        if Path(name).is_dir():
            raise RunError(
                f'"{name}" is a directory but no run (it has no {layout.INFO})',
                "name a model, or a run that convert or train made",
            ) from error
        raise


def _from_run(target: str | Path, img_size: ImgSize | None, latent: bool = False) -> FloatModel:
    """The float module behind a run. Its binary weights are undone, its replaced stem is not."""
    run, weights = locate(target)
    info = run.info
    keeps = (run.path / layout.PARENT).is_file()
    if not latent and (info.fit is not None or keeps):
        weights, info = run.float_weights, info.replace(fit=None)
    file = run.path / layout.INFO
    model = build_named(info.undone(), file, weights)
    with said_of(file):
        added = added_keys(info)
    load_weights(model, weights, besides=added)
    name, trained = run.path.name, info.kind == "trained"
    random = not trained and info.has_random_weights
    return FloatModel(
        model,
        info.replace(
            preprocess=_resized(info.preprocess, img_size),
            weights=f"random (run {name})" if random else f"run {name}",
            random=[] if trained else info.random,
            parent=name,
        ),
    )


def _from_code(place: str, options: SourceOptions) -> FloatModel:
    """What code of the user's own makes; the run is told where that was."""
    module = unwrapped(models.make_own(place, options.kwargs))
    check_kind(module)
    check_values(module, f"what {place} makes", ModelError)
    float_model = _from_module(module, options.img_size)
    spec = float_model.info.model.replace(kwargs=dict(options.kwargs))
    float_model = float_model.saying(model=spec, code=place, weights=f"those of {place}")
    if options.img_size is not None and "mean" in options.preprocess:
        return float_model
    images = float_model.info.preprocess
    note = (
        f"images: {img_size_text(images.img_size)} pixels, mean {_numbers(images.mean)}, std "
        f"{_numbers(images.std)}, unless --img-size, --mean and --std say otherwise"
    )
    return replace(float_model, notes=(note,))


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _from_hub(name: str, options: SourceOptions) -> FloatModel:
    """timm's model of a hub or folder, with its weights unless others are asked for."""
    load = options.pretrained is not False and options.checkpoint is None
    found = models.fetch_hub(name, load, img_size=options.img_size, **options.kwargs)
    info = RunInfo(
        kind="converted",
        model=found.spec,
        weights=found.weights,
        preprocess=_resized(found.preprocess, options.img_size),
        classes=found.classes,
    )
    if load:
        check_values(found.model, found.weights, ModelError)
    return FloatModel(found.model, info, asked_random=options.pretrained is False)


def _from_module(module: nn.Module, img_size: ImgSize | None) -> FloatModel:
    cfg = getattr(module, "pretrained_cfg", None) or {}
    preprocess = dict(CUSTOM_PREPROCESS)
    for key in preprocess:
        if key in cfg:
            preprocess[key] = list(cfg[key]) if isinstance(cfg[key], tuple) else cfg[key]
    own = (exported_shape(module) or cfg.get("input_size") or (3, 224, 224))[-2:]
    info = RunInfo(
        kind="converted",
        model=ModelSpec.make(name=type(module).__name__, library=CUSTOM),
        weights="the caller's",
        preprocess=Preprocess.make(**{**preprocess, "img_size": img_size or tuple(own)}),
    )
    return FloatModel(models.copied(module), info)
