"""Options of the commands that take a float model by name: which weights, and how it is built."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from binarize.choices import ON_ERROR
from binarize.cli.command import WrongUsage
from binarize.errors import BinarizeError
from binarize.imgsize import ImgSize as Size
from binarize.imgsize import parse_img_size


def _img_size(text: str) -> Size:
    """`--img-size`, if it is one: else wrong usage."""
    try:
        return parse_img_size(text)
    except BinarizeError as error:
        raise WrongUsage(error.message, error.hint) from error


Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Weights to load: safetensors, or a .pth file that holds only tensors.",
    ),
]
NumClasses = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Number of classes. [default: the model's]"),
]
ImgSize = Annotated[
    Any,  # Typer takes no unions; the parser makes an imgsize.ImgSize
    typer.Option(
        metavar="N|HxW",
        parser=_img_size,
        help="Image size in pixels: 224, or 192x320 for 192 high and 320 wide. [default: the model's]",
        show_default=False,
    ),
]


def _on_error(text: str | None) -> str | None:
    if text not in (None, *ON_ERROR):
        raise WrongUsage(f'--on-error is "{text}"', f"choose {' or '.join(ON_ERROR)}")
    return text


OnError = Annotated[
    Any,
    typer.Option(
        metavar="stop|skip",
        callback=_on_error,
        help="What to do about images that cannot be read, which are looked for first. [default: stop]",
        show_default=False,
    ),
]
