"""A float model made binary: opened, converted, and where there are images, calibrated and fitted on them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from binarize import fitting
from binarize.choices import OnError
from binarize.data import check_exists
from binarize.errors import BinarizeError
from binarize.fitting import CalibrationData
from binarize.mixed_precision import Goal, convert_for
from binarize.progress import Progress
from binarize.rewrite import (
    CalibrationImages,
    Converted,
    FloatModel,
    Options,
    SourceOptions,
    convert_float,
    open_float,
)


@dataclass(frozen=True)
class Calibration:
    """The images that a conversion looks at, and what it does with them.

    Attributes:
        data: where they are; None: binary inputs are calibrated on noise, and nothing is fitted.
        images: how many. None: `fitting.IMAGES`, or 32 of noise.
        steps: of the fit to the float model. None: `fitting.STEPS`.
        seed: of the order of the images.
        goal: what bases and kept layers are chosen for. None: they are those of the options.
        on_error: "stop" where images of a folder cannot be read, or "skip" them.
    """

    data: CalibrationData | None = None
    images: int | None = None
    steps: int | None = None
    seed: int = 0
    goal: Goal | None = None
    on_error: OnError = "stop"

    def check(self, options: Options) -> None:
        """Raises BinarizeError where an option has no use, DataError for a folder that does not exist."""
        if isinstance(self.data, (str, Path)):
            check_exists(Path(self.data))
        if self.goal is not None:
            self.goal.check(options)
        if self.data is not None:
            return
        if self.goal is not None:
            raise BinarizeError(
                f"{self.goal.option} compares networks on images, and there are none",
                "add --calib-data DIR: a folder of images, with or without class folders, or a tar",
            )
        if self.steps is not None or (self.images is not None and not options.binary_inputs):
            raise BinarizeError(
                "--calib-images and --calib-steps are for the images of --calib-data, and there are none",
                "add --calib-data DIR: a folder of images, with or without class folders, or a tar",
            )


def make(
    target: nn.Module | str | Path,
    options: Options,
    model_options: SourceOptions | None = None,
    *,
    values: bool = True,
    progress: Progress | None = None,
    calibration: Calibration | None = None,
) -> Converted:
    """`convert` with its layer table. Without `calibration`, nothing is calibrated and nothing fitted."""
    progress = progress or Progress()
    if calibration is not None:
        calibration.check(options)
    progress.task("loading the model")
    opened = open_float(target, model_options or SourceOptions())
    if calibration is None or calibration.data is None:
        wanted = None
        if calibration is not None and options.binary_inputs:
            noise = CalibrationImages()
            wanted = (
                noise if calibration.images is None else replace(noise, count=calibration.images)
            )
        return convert_float(opened, options, values=values, progress=progress, images=wanted)
    return _fitted(opened, options, values, progress, calibration, calibration.data)


def _fitted(
    opened: FloatModel,
    options: Options,
    values: bool,
    progress: Progress,
    calibration: Calibration,
    data: CalibrationData,
) -> Converted:
    """A conversion that is calibrated on the first of the images, and fitted on all of them."""
    count = fitting.IMAGES if calibration.images is None else calibration.images
    images = fitting.read_images(
        data,
        count,
        opened.info.preprocess,
        opened.size,
        progress.say,
        on_error=calibration.on_error,
        progress=progress,
    )
    steps = fitting.STEPS if calibration.steps is None else calibration.steps
    if calibration.goal is not None:
        _check_trained(opened, calibration.goal)
        return convert_for(
            calibration.goal,
            opened,
            options,
            images,
            steps=steps,
            seed=calibration.seed,
            progress=progress,
        )
    parent = None if opened.has_random_weights else copy.deepcopy(opened.model)
    converted = convert_float(
        opened,
        options,
        values=values,
        progress=progress,
        images=fitting.calibration_images(images),
    )
    if parent is None:
        progress.say("nothing is fitted: the weights of the float model are random")
        return converted
    if converted.conversion.replay.replaced_stem is not None:
        progress.say("nothing is fitted: the stem has new weights, which no float model had")
        return converted
    if not converted.info.binary:
        return converted
    return fitting.fit_converted(
        converted,
        parent,
        opened.size,
        images,
        steps=steps,
        seed=calibration.seed,
        progress=progress,
    )


def _check_trained(opened: FloatModel, goal: Goal) -> None:
    if opened.has_random_weights:
        raise BinarizeError(
            f"{goal.option} compares with the float model, whose weights are random",
            f"give trained weights with --checkpoint FILE or a trained run, or omit {goal.option}",
        )
