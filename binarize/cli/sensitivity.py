"""`binarize sensitivity`: what each layer costs when it alone is binary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from binarize import outputs
from binarize.cli import model_options, render
from binarize.cli.progress import working

EXAMPLES = """
binarize sensitivity resnet18 --calib-data photos
binarize sensitivity runs/resnet18-ab-tanh --calib-data photos
"""


def command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MODEL",
            help="A run, or a name from `binarize models ls` with trained weights.",
        ),
    ],
    calib_data: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Images to compare answers on, without labels: a folder, with or without classes, or a "
            "tar file.",
        ),
    ],
    calib_images: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of images to take.")
    ] = 256,
    checkpoint: model_options.Checkpoint = None,
    ema: model_options.Ema = None,
    num_classes: model_options.NumClasses = None,
    img_size: model_options.ImgSize = None,
    code: model_options.Code = None,
    json: render.Json = False,
) -> None:
    """Binarize one layer at a time and compare the answers with those of the float model.

    The layers and their options are those of the run, or the default ones of `binarize convert`. The
    table begins with the layer that changes the answers most: to keep it float helps most. A run keeps the
    table, and `binarize report` plots it.
    """
    from binarize.run import is_run, layout, write_json
    from binarize.run.layout import run_of

    run = run_of(Path(target))
    if is_run(run):
        outputs.check_file(run / layout.SENSITIVITY)
    from binarize import api, rewrite
    from binarize.models import own_code

    with working("comparing layers") as progress, own_code(code):
        found = api.sensitivity(
            target,
            calib_data=calib_data,
            calib_images=calib_images,
            model_options=rewrite.SourceOptions(
                checkpoint=checkpoint, ema=ema, num_classes=num_classes, img_size=img_size
            ),
            progress=progress,
        )
    render.say(f"{found.model}, {found.images:,} images: one layer binary, all others float")
    render.table(
        ("layer", "same answer %", "KL", "parameters", "bytes", "as 1 bit"),
        (
            (each.name, each.agreement, each.kl, each.params, each.bytes_float, each.bytes_1bit)
            for each in found.layers
        ),
        drop=("parameters", "bytes", "as 1 bit"),
    )
    if is_run(run):
        write_json(run / layout.SENSITIVITY, found.to_json())
    if json:
        render.emit_json(found.to_json())
    if found.layers:
        worst = found.layers[0].name
        render.next_command(f"binarize convert {target} --keep {worst} --calib-data {calib_data}")
