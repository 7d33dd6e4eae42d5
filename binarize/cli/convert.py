"""`binarize convert`: a float model to a run with binary weights, and binary activations if asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from binarize.cli import render
from binarize.cli.progress import working

if TYPE_CHECKING:
    from binarize.rewrite import Calibrated

SHOWN = 5
"""Names in a warning; `--json` has them all."""

EXAMPLES = """
binarize convert resnet18 --estimator ab-tanh
binarize convert torchvision/resnet50 --keep "layer4.*" --activations step --img-size 160 --dry-run
"""


def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A timm name, timm/…, torchvision/…, or a run.")
    ],
    estimator: Annotated[
        str, typer.Option(help="Surrogate gradient: see `binarize estimators ls`.")
    ] = "ab-tanh",
    scale: Annotated[str, typer.Option(help="channel, layer or none.")] = "channel",
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Glob on module names to leave float; repeatable."),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            "--binarize",
            metavar="PATTERN",
            help="Glob on layers to binarize that are kept by default; --keep wins; repeatable.",
        ),
    ] = None,
    submodule: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Convert this part alone. [default: all of MODEL]"),
    ] = None,
    activations: Annotated[
        str,
        typer.Option(
            help="float, step (0 or s) or sign (-1 or +1): the inputs of the binarized layers."
        ),
    ] = "float",
    structure: Annotated[
        str,
        typer.Option(
            help="keep, bireal or reactnet: surgery on the blocks around inputs of --activations sign."
        ),
    ] = "keep",
    calib_data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Images, in class folders or not, or a tar: binary activations are calibrated on them. "
            "[default: on noise]",
        ),
    ] = None,
    calib_images: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="How many of them. [default: 32]"),
    ] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--no-pretrained",
            help="Insist on pretrained weights, or do not try. [default: if they can be had]",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Weights to load: safetensors, or a .pth of tensors only."
        ),
    ] = None,
    num_classes: Annotated[
        int | None,
        typer.Option(min=1, help="Size of the classifier. [default: the model's]"),
    ] = None,
    img_size: Annotated[
        int | None,
        typer.Option(min=1, help="Width of the images in pixels. [default: the model's]"),
    ] = None,
    stem: Annotated[
        str, typer.Option(help="auto, keep, or cifar: a 3x3 stem without pooling.")
    ] = "auto",
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Of the weights, where they are random.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="The run to make. [default: under runs/]"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the table, write nothing.")
    ] = False,
    json: render.Json = False,
) -> None:
    """Rewrite MODEL so that its convolutions and linear layers have binary weights.

    Layers stay float ("kept") where they are the first, the classifier, depthwise, squeeze-excite or a
    gate, an LSTM, or match --keep. Of a detection or segmentation network, the backbone is rewritten.
    With --activations, the inputs of those layers become binary too, and downsampling shortcuts stay float.
    """
    from binarize import api, rewrite

    with working("converting") as progress:
        options = rewrite.Options(
            estimator=estimator,
            scale=scale,
            keep=tuple(keep or ()),
            stem=stem,
            include=tuple(include or ()),
            submodule=submodule,
            activations=activations,
            structure=structure,
        )
        saved = api.convert_to_run(
            model,
            options,
            rewrite.SourceOptions(
                pretrained="auto" if pretrained is None else pretrained,
                checkpoint=checkpoint,
                num_classes=num_classes,
                img_size=img_size,
            ),
            seed=seed,
            out=out,
            dry_run=dry_run,
            progress=progress,
            calib_data=calib_data,
            calib_images=calib_images,
        )
    render.say(f"{model} with weights: {saved.info.weights}")
    for note in saved.conversion.notes:
        render.say(note)
    if saved.calibration is not None:
        _say_calibration(saved.calibration)
    content = saved.as_json()
    render.layer_table(content["layers"], content["totals"])
    if json:
        render.emit_json(content)
    if saved.run is None:
        render.next_command(f"binarize convert {model}")
    else:
        render.say(f"run: {saved.run}")
        render.next_command("binarize train --recipe digits")


def _say_calibration(calibration: Calibrated) -> None:
    render.say(calibration.words)
    names = list(calibration.saturated)
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        render.warn(
            f"more than 95 % of what these layers get is one value: {', '.join(names[:SHOWN])}{more}",
            "they learn little; --calib-data with other images, or --keep NAME to leave one float",
        )
