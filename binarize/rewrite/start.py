"""From what a user names to a converted module and the description that builds it again."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from binarize import models
from binarize.errors import ModelError, RunError
from binarize.progress import Progress
from binarize.rewrite.build import CUSTOM, added_keys, build_info, load_weights, locate
from binarize.rewrite.calibration import Calibrated, CalibrationImages, calibrate_subject
from binarize.rewrite.convert import Conversion, convert
from binarize.rewrite.options import Options
from binarize.rewrite.record import Size
from binarize.rewrite.subject import find_subject, first_convolution, input_channels
from binarize.run import RunInfo, is_run

CUSTOM_PREPROCESS = {
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "interpolation": "bilinear",
    "crop_pct": 1.0,
}

FRAMES = 16
"""Of a clip: torchvision's MViT takes no other number, its other networks take any."""


@dataclass(frozen=True)
class Source:
    """A float module and the RunInfo (conversion None) that builds it again."""

    model: nn.Module
    info: RunInfo

    @property
    def size(self) -> Size:
        return image_size(self.model, self.info.preprocess["img_size"])


def open_source(
    target: nn.Module | str | Path,
    *,
    pretrained: Any = "auto",
    checkpoint: str | Path | None = None,
    num_classes: int | None = None,
    img_size: int | None = None,
    **kwargs: Any,
) -> Source:
    """The float module that `target` means: a model name, a run (its latent weights become the float
    weights again) or a module of the caller's own, which is copied.

    Args:
        pretrained: "auto" (if they can be had), True (insist) or False (random weights); for names.
        checkpoint: weights to load instead; its classifier must have `num_classes` outputs.
        num_classes: size of the classifier; a run's or module's is reset where it differs.
        img_size: of the images; None means what the model was made for.
        kwargs: further arguments of the library's constructor; for names.

    Raises ModelError, CheckpointError or RunError.
    """
    if isinstance(target, nn.Module):
        source = _from_module(target, img_size)
    elif is_run(Path(target)) or Path(target).name in ("best", "last"):
        source = _from_run(target, img_size)
    else:
        wanted = False if checkpoint else pretrained
        fetched = _fetch(str(target), wanted, num_classes, img_size, kwargs)
        preprocess = models.default_preprocess(str(target))
        preprocess["img_size"] = img_size or preprocess["img_size"]
        info = RunInfo("converted", fetched.spec, None, fetched.weights, preprocess)
        source = Source(fetched.model, info)
    whole = models.part_of(source.model) is None
    if whole and num_classes is not None and num_classes != models.num_classes(source.model):
        source = with_classes(source, num_classes)
    if checkpoint is not None:
        load_weights(source.model, checkpoint)
        source = Source(
            source.model, replace(source.info, weights=f"checkpoint {Path(checkpoint).name}")
        )
    return source


def with_classes(source: Source, num_classes: int) -> Source:
    """The same source with a new, randomly initialised classifier."""
    models.reset_classifier(source.model, num_classes)
    spec = copy.deepcopy(source.info.model)
    spec["kwargs"]["num_classes"] = num_classes
    return Source(source.model, replace(source.info, model=spec, classes=[]))


@dataclass(frozen=True)
class Converted:
    """A conversion and the RunInfo that builds it again; what it was calibrated on, if it was."""

    conversion: Conversion
    info: RunInfo
    calibration: Calibrated | None = None


def convert_source(
    source: Source,
    options: Options,
    *,
    values: bool = True,
    progress: Progress | None = None,
    images: CalibrationImages | None = None,
) -> Converted:
    """Convert a source in place; see `convert`. A stem that the source's run replaced stays replaced.

    Binary inputs are calibrated on `images`, where they are given.
    """
    part = options.submodule or models.part_of(source.model)
    options = replace(options, submodule=part)
    conversion = convert(source.model, options, source.size, values=values, progress=progress)
    earlier = (source.info.conversion or {}).get("replaced_stem")
    record = conversion.replay
    record["replaced_stem"] = record["replaced_stem"] or earlier
    info = replace(source.info, kind="converted", conversion=record, created=time.time())
    source.model.binarize_info = info  # so that export knows the preprocessing
    calibration = None
    if images is not None and options.binary_inputs:
        (progress or Progress()).task("calibrating")
        subject = find_subject(source.model, source.size, part)
        calibration = calibrate_subject(subject, info.preprocess, images)
    return Converted(conversion, info, calibration)


def image_size(model: nn.Module, img_size: int) -> Size:
    """Channels, height and width of the image that `model` takes; with the frames before the height
    where it begins with a 3-d convolution and so takes a clip."""
    first = first_convolution(model)
    frames = (FRAMES,) if isinstance(first, nn.Conv3d) else ()
    return (input_channels(model), *frames, img_size, img_size)


def _fetch(
    name: str,
    pretrained: Any,
    num_classes: int | None,
    img_size: int | None,
    kwargs: dict[str, Any],
) -> models.Fetched:
    try:
        return models.fetch(
            name, pretrained=pretrained, num_classes=num_classes, img_size=img_size, **kwargs
        )
    except ModelError as error:
        if Path(name).is_dir():
            raise RunError(
                f'"{name}" is a directory but no run (it has no run.json)',
                "name a model, or a run that convert or train made",
            ) from error
        raise


def _from_run(target: str | Path, img_size: int | None) -> Source:
    """The float module behind a run. Its binary weights are undone, its replaced stem is not."""
    run, weights = locate(target)
    info = run.info
    undone = info.conversion and {**info.conversion, "parameters": [], "edits": []}
    model = build_info(replace(info, conversion=undone))
    load_weights(model, weights, besides=added_keys(info))
    preprocess = {**info.preprocess, "img_size": img_size or info.preprocess["img_size"]}
    return Source(
        model,
        replace(info, preprocess=preprocess, weights=f"run {run.path.name}", parent=run.path.name),
    )


def _from_module(module: nn.Module, img_size: int | None) -> Source:
    cfg = getattr(module, "pretrained_cfg", None) or {}
    preprocess = dict(CUSTOM_PREPROCESS)
    for key in preprocess:
        if key in cfg:
            preprocess[key] = list(cfg[key]) if isinstance(cfg[key], tuple) else cfg[key]
    own = (cfg.get("input_size") or (3, 224, 224))[-1]
    spec = {
        "name": type(module).__name__,
        "library": CUSTOM,
        "library_version": "",
        "kwargs": {},
    }
    info = RunInfo(
        "converted", spec, None, "the caller's", {"img_size": img_size or own, **preprocess}
    )
    return Source(copy.deepcopy(module), info)
