"""`binarize convert`: a float model to a run with binary weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from binarize.cli import render

EXAMPLES = """
binarize convert resnet18 --estimator ab-tanh
binarize convert torchvision/resnet50 --keep "layer4.*" --img-size 160 --dry-run
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
    force: Annotated[
        list[str] | None,
        typer.Option(
            "--binarize",
            metavar="PATTERN",
            help="Glob on layers to binarize that are kept by default; --keep wins; repeatable.",
        ),
    ] = None,
    submodule: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Convert this part alone. [default: all of MODEL]"),
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
    """
    from binarize import api, rewrite

    with render.progress("converting") as bar:
        options = rewrite.Options(
            estimator=estimator,
            scale=scale,
            keep=tuple(keep or ()),
            stem=stem,
            force=tuple(force or ()),
            submodule=submodule,
        )
        saved = api.convert_to_run(
            model,
            options,
            out=out,
            dry_run=dry_run,
            step=bar.restart,
            pretrained="auto" if pretrained is None else pretrained,
            checkpoint=checkpoint,
            num_classes=num_classes,
            img_size=img_size,
        )
    render.say(f"{model} with weights: {saved.info.weights}")
    for note in saved.conversion.notes:
        render.say(note)
    content = saved.as_json()
    render.layer_table(content["layers"], content["totals"])
    if json:
        render.emit_json(content)
    if saved.run is None:
        render.next_command(f"binarize convert {model}")
    else:
        render.say(f"run: {saved.run}")
        render.next_command("binarize train --recipe digits")
