"""Options of the commands that take a float model by name: which weights, and how it is built."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Weights to load: safetensors, or a .pth file that holds tensors, as trainings write them.",
    ),
]
Ema = Annotated[
    bool | None,
    typer.Option(
        "--ema/--no-ema",
        help="Of a checkpoint with two states, take the averaged weights or the others. "
        "[default: the averaged ones, if there are any]",
        show_default=False,
    ),
]
NumClasses = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Number of classes. [default: the model's]"),
]
ImgSize = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Image width and height in pixels. [default: the model's]"
    ),
]
