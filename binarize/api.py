"""The Python face: what `import binarize` offers and what the command line calls.

binarize.convert("resnet18", estimator="ab-tanh")  -> nn.Module
binarize.load("runs/resnet18-ab-tanh")             -> nn.Module, in eval mode
binarize.train("digits", "runs/resnet18-ab-tanh")  -> the result of a training run
binarize.export(model_or_run, "model.onnx")        -> the result of an export
binarize.evaluate(["runs/…", "model.onnx"])        -> accuracies and parities
binarize.bench(["runs/…", "model.onnx"])           -> milliseconds, memory and bytes beside the float model
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from binarize import environment, outputs
from binarize.data import check_exists
from binarize.errors import BinarizeError, near_words
from binarize.exporting.size import packed_size
from binarize.progress import Progress
from binarize.rewrite import (
    Calibrated,
    CalibrationImages,
    Conversion,
    Converted,
    Options,
    SourceOptions,
    Totals,
    build,
    convert_float,
    open_float,
    summary,
    totals,
)
from binarize.run import (
    Run,
    RunInfo,
    layout,
    new_directory,
    new_run,
    write_info,
    write_json,
)
from binarize.run.weights import save_weights


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
    num_classes: int | None = None,
    img_size: int | None = None,
    stem: str = "auto",
    activations: str = "float",
    structure: str = "keep",
    calib_data: str | Path | None = None,
    calib_images: int | None = None,
    force: Sequence[str] | None = None,
) -> nn.Module:
    """A module with binary weights, ready to train; nothing is written.

    `model_or_name` is a timm or torchvision name, a run, or a module of your own, which stays as it was:
    a copy is converted. The options are the flags of `binarize convert`. The
    module's class, methods and state_dict keys are those of the float model; `layer.weight` reads as
    ±scale, or with `bases` 2 to 4 as the sum of so many of these. With `activations` "step" or "sign" the
    inputs of those layers are binary too; their thresholds and shifts, which come as further keys, are
    calibrated on `calib_images` images of the folder `calib_data`, or of noise. `force` is what `include`
    was called before 0.2.

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
            num_classes=num_classes,
            img_size=img_size,
        ),
        images=calibration_images(options, calib_data, calib_images),
    )
    return converted.conversion.model


def load(run: Run | str | Path) -> nn.Module:
    """The module of a run with its weights, in eval mode, rebuilt without pickle.

    Raises RunError for a module that came from the caller's own code, which cannot be rebuilt.
    """
    return build(run)


def make(
    target: nn.Module | str | Path,
    options: Options,
    model_options: SourceOptions | None = None,
    *,
    values: bool = True,
    progress: Progress | None = None,
    images: CalibrationImages | None = None,
) -> Converted:
    """`convert` with its layer table."""
    progress = progress or Progress()
    progress.task("loading the model")
    opened = open_float(target, model_options or SourceOptions())
    return convert_float(opened, options, values=values, progress=progress, images=images)


def calibration_images(
    options: Options, folder: str | Path | None, count: int | None
) -> CalibrationImages | None:
    """What binary inputs are calibrated on; None where they stay float. Raises BinarizeError where images
    are given for those, DataError for a folder that does not exist."""
    if options.binary_inputs:
        if folder is not None:
            check_exists(Path(folder))
        images = CalibrationImages(Path(folder) if folder is not None else None)
        return images if count is None else replace(images, count=count)
    if folder is not None or count is not None:
        raise BinarizeError(
            "--calib-data and --calib-images are for binary activations, and these stay float",
            "add --activations step",
        )
    return None


@dataclass(frozen=True)
class Saved:
    """A converted run: its directory (None after a dry run), layer table and totals, and what binary inputs
    were calibrated on (None after a dry run, and where there are none)."""

    run: Path | None
    conversion: Conversion
    info: RunInfo
    totals: Totals
    calibration: Calibrated | None = None

    def as_json(self) -> dict[str, Any]:
        """The JSON of `binarize convert`."""
        return {
            "run": str(self.run) if self.run else None,
            **summary(self.conversion.rows, self.totals),
            "weights": self.info.weights,
            "notes": self.conversion.notes,
            "calibration": self.calibration.as_json() if self.calibration else None,
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
    calib_data: Path | None = None,
    calib_images: int | None = None,
) -> Saved:
    """Convert and write a run; with `dry_run`, on shapes alone and without writing.

    `seed` is that of weights that are random; the caller's generator stays as it was.
    """
    progress = progress or Progress()
    if out is not None and not dry_run:
        outputs.check_directory(out)
    images = calibration_images(options, calib_data, calib_images)
    wanted = None if dry_run else images
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        converted = make(
            target, options, model_options, values=not dry_run, progress=progress, images=wanted
        )
    sums = totals(
        converted.conversion,
        packed_size(converted.conversion.model, converted.conversion.trace),
    )
    if dry_run:
        return Saved(None, converted.conversion, converted.info, sums)
    progress.task("writing the run")
    if out is not None:
        with new_directory(out) as directory:
            _write(directory, converted, sums)
    else:
        words = [converted.info.model.name, options.spec.name]
        words += [options.activations] if options.binary_inputs else []
        with new_run("-".join(words), layout.ROOT) as made:
            _write(made.directory, converted, sums)
        out = made.path
    return Saved(out, converted.conversion, converted.info, sums, converted.calibration)


def _write(directory: Path, converted: Converted, sums: Totals) -> None:
    save_weights(directory / layout.WEIGHTS, converted.conversion.model.state_dict())
    write_json(directory / layout.SUMMARY, summary(converted.conversion.rows, sums))
    write_json(directory / layout.ENVIRONMENT, environment.describe())
    write_info(directory, converted.info)
