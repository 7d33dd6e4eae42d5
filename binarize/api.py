"""The Python face: what `import binarize` offers and what the command line calls.

binarize.convert("resnet18", estimator="ab-tanh")  -> nn.Module
binarize.load("runs/resnet18-ab-tanh")             -> nn.Module, in eval mode
binarize.train("digits", "runs/resnet18-ab-tanh")  -> the result of a training run
binarize.sensitivity("resnet18", calib_data="photos")  -> what each layer costs alone
binarize.export(model_or_run, "model.onnx")        -> the result of an export
binarize.evaluate(["runs/…", "model.onnx"])        -> accuracies and parities
binarize.predict("model.onnx", "photos")           -> class names and probabilities of each picture
binarize.bench(["runs/…", "model.onnx"])           -> milliseconds, memory and bytes beside the float model
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from binarize import environment, fitting, outputs
from binarize.converting import Calibration, make
from binarize.data import check_exists
from binarize.errors import BinarizeError, near_words
from binarize.exporting.size import packed_size
from binarize.fitting import CalibrationData
from binarize.imgsize import ImgSize
from binarize.mixed_precision import Goal
from binarize.progress import Progress
from binarize.rewrite import (
    Calibrated,
    Conversion,
    Converted,
    Options,
    SourceOptions,
    Totals,
    build,
    convert_float,
    open_float,
    options_of,
    summary,
    totals,
)
from binarize.run import (
    Run,
    RunInfo,
    Sensitivities,
    layout,
    new_directory,
    new_run,
    write_info,
    write_json,
)
from binarize.run.weights import save_weights

SENSED = 256
"""Images that the answers of a network are compared on, layer by layer."""


@near_words
def convert(
    model_or_name: nn.Module | str | Path,
    *,
    estimator: str | dict[str, Any] = "ab-tanh",
    scale: str = "channel",
    bases: int = 1,
    standardise: bool = True,
    keep: Sequence[str] = (),
    include: Sequence[str] = (),
    submodule: str | None = None,
    pretrained: Any = "auto",
    checkpoint: str | Path | None = None,
    ema: bool | None = None,
    num_classes: int | None = None,
    img_size: ImgSize | None = None,
    stem: str = "auto",
    activations: str = "float",
    structure: str = "keep",
    calib_data: CalibrationData | None = None,
    calib_images: int | None = None,
    calib_steps: int | None = None,
    size: str | int | None = None,
    agreement: float | None = None,
    preprocess: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    model_args: Mapping[str, Any] | None = None,
    seed: int = 0,
    force: Sequence[str] | None = None,
) -> nn.Module:
    """A module with binary weights, ready to train; nothing is written.

    `model_or_name` is a timm or torchvision name, a run, code of your own (`nets.py:make_net`), or a module,
    which stays as it was: a copy is converted. `model_args` are arguments of what makes the network of that
    name, `classes` the names of its classes in the order of the logits. The options are the flags of
    `binarize convert`. The module's class, methods and state_dict keys are those of the float model;
    `layer.weight` reads as ±scale, or with `bases` 2 to 4 as the sum of so many of these. With `activations`
    "step" or "sign" the inputs of those layers are binary too; their thresholds and shifts, which come as
    further keys, are calibrated on images, or on noise without any.

    `checkpoint` is a safetensors file or a .pth of tensors, as trainings write them: in a dictionary, with
    the prefixes of wrappers, in half precision. Of two states `ema` takes the averaged one (True), the other
    (False), or the averaged one if there is one (None).

    `calib_data` is a folder of images, a tar, a DataLoader or any iterable of batches [N, C, H, W] as the
    network takes them; labels are not read. The binary network is fitted to the float one on
    `calib_images` of them (1024), in `calib_steps` steps of 32 (120; 0: only batch norms are measured
    again), in an order by `seed`. What came
    of it is `module.binarize_info.fit`.

    Images are prepared as the model says, in the fit and by all that is made of the module, but for what
    `preprocess` has: {"mean": […], "std": […], "img_size": …, "interpolation": …, "crop_pct": …}.

    `size` ("4MB", or bytes) is the largest that the packed ONNX file may be, `agreement` the smallest share,
    in per cent, of images held aside on which the fitted network answers as the float one. For either, bases
    (1 to 4) and further layers that stay float are chosen, by what each layer costs when it alone is binary.

    `force` is what `include` was called before 0.2.

    Raises ModelError, PatternError, EstimatorError, CheckpointError, RunError or DataError.
    """
    if force is not None:
        warnings.warn(  # of the line that calls `near_words`' wrapper
            "binarize.convert: force= is called include= now", DeprecationWarning, stacklevel=3
        )
        include = [*include, *force]
    options = Options(
        estimator=estimator,
        scale=scale,
        bases=bases,
        standardise=standardise,
        keep=tuple(keep),
        stem=stem,
        include=tuple(include),
        submodule=submodule,
        activations=activations,
        structure=structure,
    )
    converted = make(
        model_or_name,
        options,
        SourceOptions(
            pretrained=pretrained,
            checkpoint=checkpoint,
            ema=ema,
            num_classes=num_classes,
            img_size=img_size,
            preprocess=preprocess or {},
            classes=classes,
            kwargs=model_args or {},
        ),
        calibration=Calibration(
            calib_data, calib_images, calib_steps, seed, Goal.of(size, agreement)
        ),
    )
    return converted.conversion.model


@near_words
def sensitivity(
    model_or_name: nn.Module | str | Path,
    *,
    calib_data: CalibrationData,
    calib_images: int = SENSED,
    options: Options | None = None,
    model_options: SourceOptions | None = None,
    progress: Progress | None = None,
) -> Sensitivities:
    """What binarizing one layer at a time does to the answers of a float model, on images without labels.

    The layers are those that `options` make binary: by default those of the run, if it is one, else the ones
    of `convert`. Images are as for `convert`; binary inputs are calibrated on the first 32.

    Raises ModelError for a model that does not classify, and the errors of `convert`.
    """
    progress = progress or Progress()
    if isinstance(calib_data, (str, Path)):
        check_exists(Path(calib_data))
    progress.task("loading the model")
    opened = open_float(model_or_name, model_options or SourceOptions())
    record = opened.info.conversion
    if options is None:
        options = options_of(record) if record is not None and record.parameters else Options()
        options = replace(options, stem="keep")
    images = fitting.read_images(
        calib_data,
        calib_images,
        opened.info.preprocess,
        opened.size,
        progress.say,
        progress=progress,
    )
    converted = convert_float(
        opened,
        options,
        values=False,
        progress=progress,
        images=fitting.calibration_images(images),
    )
    found = fitting.sensitivities(converted.conversion.model, images.fitted, progress)
    return Sensitivities.make(
        model=opened.info.model.title, images=len(images.fitted), layers=found
    )


def load(run: Run | str | Path) -> nn.Module:
    """The module of a run with its weights, in eval mode, rebuilt without pickle.

    Raises RunError for a module that came from the caller's own code and outside of `own_code`.
    """
    return build(run)


@dataclass(frozen=True)
class Saved:
    """A converted run: its directory (None after a dry run), layer table and totals, and what binary inputs
    were calibrated on (None after a dry run, and where there are none). How it was fitted: `info.fit`."""

    run: Path | None
    conversion: Conversion
    info: RunInfo
    totals: Totals
    calibration: Calibrated | None = None

    def as_json(self) -> dict[str, Any]:
        """The JSON of `binarize convert`."""
        fit = self.info.fit
        allocation = fit.allocation if fit else None
        return {
            "run": str(self.run) if self.run else None,
            **summary(self.conversion.rows, self.totals),
            "weights": self.info.weights,
            "random": self.info.random,
            "notes": self.conversion.notes,
            "calibration": self.calibration.as_json() if self.calibration else None,
            "fit": fit.to_json() if fit else None,
            "curve": allocation.to_json()["curve"] if allocation else None,
        }


@near_words
def convert_to_run(
    target: str | Path,
    options: Options,
    model_options: SourceOptions | None = None,
    *,
    seed: int = 0,
    out: Path | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
    calibration: Calibration | None = None,
    keep_float: bool = True,
) -> Saved:
    """Convert and write a run; with `dry_run`, on shapes alone and without writing.

    `seed` is that of weights that are random; the caller's generator stays as it was. A run that is fitted
    keeps the weights of the float model, but for `keep_float`.
    """
    progress = progress or Progress()
    if out is not None and not dry_run:
        outputs.check_directory(out)
    calibration = calibration or Calibration()
    calibration.check(options)
    if dry_run and calibration.goal is not None:
        raise BinarizeError(
            f"{calibration.goal.option} chooses on images, which a dry run does not read",
            f"omit --dry-run, or {calibration.goal.option}",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        converted = make(
            target,
            options,
            model_options,
            values=not dry_run,
            progress=progress,
            calibration=None if dry_run else calibration,
        )
    sums = totals(
        converted.conversion,
        packed_size(converted.conversion.model, converted.conversion.trace),
    )
    if dry_run:
        return Saved(None, converted.conversion, converted.info, sums)
    progress.task("writing the run")
    parent = converted.parent if keep_float else None
    if out is not None:
        with new_directory(out) as directory:
            _write(directory, converted, sums, parent)
    else:
        words = [converted.info.model.name, options.spec.name]
        words += [options.activations] if options.binary_inputs else []
        with new_run("-".join(words), layout.ROOT) as written:
            _write(written.directory, converted, sums, parent)
        out = written.path
    return Saved(out, converted.conversion, converted.info, sums, converted.calibration)


def _write(directory: Path, converted: Converted, sums: Totals, parent: nn.Module | None) -> None:
    save_weights(directory / layout.WEIGHTS, converted.conversion.model.state_dict())
    if parent is not None:
        save_weights(directory / layout.PARENT, parent.state_dict())
    write_json(directory / layout.SUMMARY, summary(converted.conversion.rows, sums))
    for name, content in converted.files.items():
        write_json(directory / name, content)
    write_json(directory / layout.ENVIRONMENT, environment.describe())
    write_info(directory, converted.info)
