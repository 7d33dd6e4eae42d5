"""`binarize predict`: class names and probabilities for your own pictures."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from binarize import outputs
from binarize.choices import MOST_WORKERS
from binarize.cli import model_options, next_step, render
from binarize.cli.command import WrongUsage
from binarize.cli.progress import working

if TYPE_CHECKING:
    from binarize.predicting import Answer, Prediction

EXAMPLES = """
binarize predict model.onnx photo.jpg
binarize predict runs/pets photos --top 3 --html answers.html
"""
STDIN = "-"
COLUMNS = ("image", "rank", "class", "index", "probability")


def command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE",
            help="A run, one of its checkpoints (RUN/best) or an ONNX file, which knows its preprocessing "
            "and class names by itself.",
        ),
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE|FOLDER|-",
            help="Images, and folders or tars of them, however deep; - reads one image from stdin.",
        ),
    ],
    top: Annotated[
        int, typer.Option("--top", "-k", metavar="N", min=1, help="Classes for each image.")
    ] = 5,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page with the images and their answers."),
    ] = None,
    on_error: model_options.OnError = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", metavar="N", min=1, help="Images per batch.")
    ] = 64,
    workers: Annotated[
        int,
        typer.Option(
            *("--workers", "-j"),
            metavar="N",
            min=0,
            max=MOST_WORKERS,
            help="Processes that load images, where there are many.",
        ),
    ] = 2,
    no_kernels: Annotated[
        bool, typer.Option("--no-kernels", help="Run ONNX files in stock onnxruntime.")
    ] = False,
    code: model_options.Code = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Write CSV to stdout, messages to stderr.")
    ] = False,
    as_json: render.Json = False,
) -> None:
    """Say what is in images: the most probable classes of each, by a run or an ONNX file.

    Images are prepared as in training and eval. Probabilities are the softmax of the logits: shares of all
    classes that the network knows, also of an image that shows none of them.
    """
    render.use_json(as_json or as_csv)
    if as_json and as_csv:
        raise WrongUsage("--json and --csv both want stdout", "omit one of them")
    if images.count(STDIN) > 1:
        raise WrongUsage("stdin holds one image", f"name {STDIN} once")
    if html is not None:
        outputs.check_new_file(html)
    from binarize.models import own_code
    from binarize.predicting import predict

    with working("loading") as progress, own_code(code):
        answers = predict(
            target,
            [io.BytesIO(sys.stdin.buffer.read()) if image == STDIN else image for image in images],
            top=top,
            html=html,
            on_error=on_error or "stop",
            batch_size=batch_size,
            workers=workers,
            kernels=not no_kernels,
            progress=progress,
        )
    if as_json:
        render.emit_json([answer.as_json() for answer in answers])
    elif as_csv:
        render.emit_csv(COLUMNS, rows(answers))
    else:
        show(answers)
    if html is not None:
        render.say(f"wrote {html}")
    render.next_command(next_step.after_predicting(target))


def show(answers: list[Answer]) -> None:
    """One line an image: its class, and the next ones."""
    several = any(len(answer.predictions) > 1 for answer in answers)
    render.table(
        ("image", "class", "%", *["then"] * several),
        (
            (
                answer.image,
                class_name(answer.predictions[0]),
                f"{100 * answer.predictions[0].probability:.1f}",
                *[", ".join(map(share, answer.predictions[1:]))] * several,
            )
            for answer in answers
        ),
        prose=("then",),
    )


def share(prediction: Prediction) -> str:
    """`cat 12.0 %`."""
    return f"{class_name(prediction)} {100 * prediction.probability:.1f} %"


def class_name(prediction: Prediction) -> str:
    return f"class {prediction.index}" if prediction.name is None else prediction.name


def rows(answers: list[Answer]) -> list[tuple[str, int, str | None, int, float]]:
    """A line of CSV for each class of each image."""
    return [
        (answer.image, rank, one.name, one.index, one.probability)
        for answer in answers
        for rank, one in enumerate(answer.predictions, start=1)
    ]
