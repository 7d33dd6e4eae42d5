"""`binarize convert`: a float model to a run with binary weights, and binary activations if asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from binarize import outputs
from binarize.choices import MOST_BASES, SCALES
from binarize.cli import model_options, next_step, render
from binarize.cli.command import WrongUsage
from binarize.cli.progress import working
from binarize.errors import BinarizeError
from binarize.filesize import bytes_of

if TYPE_CHECKING:
    from binarize.rewrite import Calibrated
    from binarize.run import AllocationRecord, FitRecord

SHOWN = 5
"""Names in a warning; `--json` has them all."""
UNFITTED = (
    "binary weights alone lose what the float model had learned: --calib-data DIR fits them to it on images "
    "without labels, and `binarize train` trains them"
)
SCALES_HELP = f"What multiplies the signs: {', '.join(SCALES[:-1])} or {SCALES[-1]}."

EXAMPLES = """
binarize convert resnet18 --estimator ab-tanh
binarize convert torchvision/resnet50 --keep "layer4.*" --img-size 160
"""


def checked_size(size: str | None) -> str | None:
    """`--size`, if it is one: else wrong usage."""
    if size is not None:
        try:
            bytes_of(size)
        except BinarizeError as error:
            raise WrongUsage(error.message, error.hint) from error
    return size


def command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name from `binarize models ls` (resnet18, torchvision/resnet50), a run, or code of your "
            "own (nets.py:make_net).",
        ),
    ],
    estimator: Annotated[
        str,
        typer.Option(metavar="NAME", help="Surrogate gradient: see `binarize estimators ls`."),
    ] = "ab-tanh",
    scale: Annotated[str, typer.Option(metavar="NAME", help=SCALES_HELP)] = "channel",
    bases: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_BASES,
            metavar="N",
            help=f"Binary weights that add up to a layer's: 1 to {MOST_BASES}, that many bits a weight. "
            "[default: 1]",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Keep layers whose name matches float, such as layer4.*; repeatable.",
        ),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Binarize layers that are kept float by default; --keep wins; repeatable.",
        ),
    ] = None,
    once_include: Annotated[  # what the option was called before 0.2
        list[str] | None, typer.Option("--binarize", metavar="PATTERN", hidden=True)
    ] = None,
    submodule: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Convert only this submodule. [default: all of MODEL]"),
    ] = None,
    activations: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Inputs of the binarized layers: float, step (0 or s) or sign (-1 or +1).",
        ),
    ] = "float",
    structure: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Blocks around the inputs of --activations sign: keep them, or rewrite them as in "
            "bireal or reactnet.",
        ),
    ] = "keep",
    calib_data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Images to fit the binary network to the float one on, without labels: a folder, with or "
            "without classes, or a tar file.",
        ),
    ] = None,
    calib_images: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Number of images of --calib-data to take. [default: 1024]"
        ),
    ] = None,
    calib_steps: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Steps of the fit, 32 images each; 0: only calibrate. [default: 120]",
        ),
    ] = None,
    on_error: model_options.OnError = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="BYTES",
            callback=checked_size,
            help="Choose bases and kept layers for a packed ONNX file of at most that size (4MB, 500kB, "
            "3.5MiB), by what layers cost on --calib-data.",
        ),
    ] = None,
    agreement: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            metavar="PERCENT",
            help="Choose them for a network that, once fitted, answers as the float one on so many of the "
            "images held aside.",
        ),
    ] = None,
    keep_float: Annotated[
        bool,
        typer.Option(
            "--keep-float/--no-keep-float",
            help="Keep the float model's weights in a run that is fitted.",
        ),
    ] = True,
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--no-pretrained",
            help="Require pretrained weights, or do not look for them. [default: use them if available]",
            show_default=False,
        ),
    ] = None,
    checkpoint: model_options.Checkpoint = None,
    ema: model_options.Ema = None,
    num_classes: model_options.NumClasses = None,
    img_size: model_options.ImgSize = None,
    model_args: model_options.ModelArgs = None,
    classes: model_options.Classes = None,
    mean: model_options.Mean = None,
    std: model_options.Std = None,
    code: model_options.Code = None,
    stem: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="keep; cifar: a 3x3 stem without pooling; auto: cifar for --no-pretrained and images up to "
            "64 pixels wide.",
        ),
    ] = "auto",
    seed: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Random seed of untrained weights, and of the fit's images."
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="DIR",
            help="Directory of the new run. [default: one under runs/]",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the layer table and write nothing.")
    ] = False,
    json: render.Json = False,
) -> None:
    """Convert MODEL to a network whose convolutions and linear layers have binary weights.

    These layers are kept float: the first one, the classifier, depthwise convolutions, squeeze-excite
    and other gates, LSTMs, and what --keep names. Of a detection or segmentation network only the
    backbone is converted. With --activations, the inputs of binarized layers become binary too, and
    downsampling shortcuts stay float.
    """
    if out is not None and not dry_run:
        outputs.check_directory(out)
    from binarize import api, converting, mixed_precision, models, rewrite

    goal = mixed_precision.Goal.of(size, agreement)
    if goal is not None and bases is not None:
        raise goal.chooses("--bases")
    source = rewrite.SourceOptions(
        pretrained="auto" if pretrained is None else pretrained,
        checkpoint=checkpoint,
        ema=ema,
        num_classes=num_classes,
        img_size=img_size,
        preprocess=model_options.preprocess_of(mean, std),
        classes=model_options.names_in(classes),
        kwargs=model_options.arguments_of(model_args),
    )
    with working("converting") as progress, models.own_code(code):
        options = rewrite.Options(
            estimator=estimator,
            scale=scale,
            bases=1 if bases is None else bases,
            keep=tuple(keep or ()),
            stem=stem,
            include=(*(include or ()), *(once_include or ())),
            submodule=submodule,
            activations=activations,
            structure=structure,
        )
        saved = api.convert_to_run(
            model,
            options,
            source,
            seed=seed,
            out=out,
            dry_run=dry_run,
            progress=progress,
            calibration=converting.Calibration(
                calib_data, calib_images, calib_steps, seed, goal, on_error or "stop"
            ),
            keep_float=keep_float,
        )
    render.say(f"{model} with weights: {saved.info.weights_in_words}")
    for note in saved.conversion.notes:
        render.say(note)
    if saved.calibration is not None:
        _say_calibration(saved.calibration)
    if saved.info.fit is not None:
        if saved.info.fit.allocation is not None:
            _say_allocation(saved.info.fit.allocation)
        _say_fit(saved.info.fit, keep_float)
    elif saved.run is not None and saved.info.binary and not saved.info.has_random_weights:
        render.say(UNFITTED)
    content = saved.as_json()
    render.layer_table(content["layers"], content["totals"])
    if json:
        render.emit_json(content)
    if saved.run is None:
        render.next_command(f"binarize convert {model}")
    else:
        render.say(f"run: {saved.run}")
        render.next_command(next_step.after_converting(saved.run, saved.info))


def _say_allocation(found: AllocationRecord) -> None:
    render.say(f"networks of several sizes, after {found.steps} steps of the fit:")
    render.table(
        ("bytes", "same answer %"), ((point.bytes, point.agreement) for point in found.curve)
    )


def _say_fit(fit: FitRecord, keep_float: bool) -> None:
    for line in fit.lines():
        render.say(line)
    if not keep_float:
        render.say(
            "the float model's weights are not kept: this run cannot be converted again, nor be its own "
            "float teacher"
        )


def _say_calibration(calibration: Calibrated) -> None:
    render.say(calibration.description)
    names = list(calibration.saturated)
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        render.warn(
            f"more than 95 % of the inputs of these layers are one value: {', '.join(names[:SHOWN])}{more}",
            "they learn little; use --calib-data with other images, or keep one float with --keep NAME",
        )
