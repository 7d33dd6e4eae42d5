"""Options of the commands that take a float model by name: which weights, and how it is built."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from binarize.choices import ON_ERROR
from binarize.cli.command import WrongUsage
from binarize.errors import BinarizeError, DataError
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


def _on_error_option(default: str) -> Any:
    return typer.Option(
        "--on-error",
        metavar="stop|skip",
        callback=_on_error,
        help="What to do about images that cannot be read, which are looked for first. "
        f"[default: {default}]",
        show_default=False,
    )


OnError = Annotated[Any, _on_error_option("stop")]
OnErrorAsTrained = Annotated[Any, _on_error_option("as in training, stop for other images")]
ModelArgs = Annotated[
    list[str] | None,
    typer.Option(
        "--model-arg",
        metavar="NAME=VALUE",
        help="An argument of what makes MODEL, its value as YAML; repeatable.",
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Names of the classes, a line each, in the order of logits."),
]
Mean = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,Z",
        help="Mean of the images' channels in [0, 1], or of all. [default: the model's]",
    ),
]
Std = Annotated[
    str | None,
    typer.Option(metavar="X,Y,Z", help="Their standard deviation. [default: the model's]"),
]
Code = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.py:NAME",
        help="The code that makes the network of a run that was converted from one's own.",
    ),
]


def arguments_of(words: Sequence[str] | None) -> dict[str, Any]:
    """`NAME=VALUE` each, with values as YAML has them. Raises WrongUsage."""
    import yaml

    found: dict[str, Any] = {}
    for word in words or ():
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise WrongUsage(f"{word!r} is no argument of a model", "--model-arg width=64")
        try:
            found[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise WrongUsage(f"{text!r} is no YAML", "--model-arg widths='[16, 32]'") from error
    return found


def preprocess_of(mean: str | None, std: str | None) -> dict[str, Any]:
    """What `--mean` and `--std` say: a number of all channels, or a list. Raises WrongUsage."""
    given = {"mean": mean, "std": std}
    return {name: _channels(name, text) for name, text in given.items() if text is not None}


def _channels(name: str, text: str) -> float | list[float]:
    words = text.strip("[] ").replace(",", " ").split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if not numbers:
        raise WrongUsage(
            f"{text!r} is no {name} of pixels", f"--{name} 0.5 or --{name} 0.5,0.4,0.4"
        )
    return numbers[0] if len(numbers) == 1 else numbers


def names_in(file: Path | None) -> list[str] | None:
    """The lines of a file of class names. Raises DataError."""
    if file is None:
        return None
    try:
        names = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f'"{file}" cannot be read as names of classes', "write one a line"
        ) from error
    names = [name.strip() for name in names if name.strip()]
    if not names or len(set(names)) < len(names):
        what = "a name twice" if names else "no names"
        raise DataError(
            f'"{file}" holds {what}', "write the name of each class on a line of its own"
        )
    return names
