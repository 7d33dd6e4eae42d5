"""`binarize eval`: accuracy, speed and parity of runs and ONNX files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from binarize.choices import MOST_WORKERS
from binarize.cli import model_options, render
from binarize.cli.progress import working

if TYPE_CHECKING:
    from binarize.evaluation import Evaluation

EXAMPLES = """
binarize eval
binarize eval runs/resnet18 resnet18.onnx --data-dir imagenette
"""


def command(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN|FILE",
            help="Runs, their checkpoints (RUN/best) and ONNX files. A run that holds model.onnx counts "
            "as two. [default: the newest run]",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Test images, one folder per class: under test/ or val/, or all there are; or a tar or CSV. "
            "[default: the data set that the run was trained on]",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Evaluate only this many images.")
    ] = None,
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
            help="Processes that load images.",
        ),
    ] = 2,
    on_error: model_options.OnErrorAsTrained = None,
    no_kernels: Annotated[
        bool, typer.Option("--no-kernels", help="Run ONNX files in stock onnxruntime.")
    ] = False,
    code: model_options.Code = None,
    as_json: render.Json = False,
) -> None:
    """Evaluate runs and ONNX files on the same test images: top-1, top-5, images/s and parity.

    An ONNX file stores its preprocessing and class names. Parity compares the logits of an ONNX file in a
    run with those of the run, and the logits of any other target with those of the first one.
    """
    from binarize.evaluation import evaluate
    from binarize.models import own_code
    from binarize.run import newest_run

    if not targets:
        targets = [str(newest_run(skipped=render.warn).path)]
        render.say(f"evaluating the newest run, {targets[0]}")
    with working("loading") as progress, own_code(code):
        evaluations = evaluate(
            targets,
            data_dir=data_dir,
            limit=limit,
            batch_size=batch_size,
            workers=workers,
            on_error=on_error,
            kernels=not no_kernels,
            progress=progress,
        )
    show(evaluations)
    if as_json:
        render.emit_json([asdict(evaluation) for evaluation in evaluations])
    render.next_command(what_next(evaluations, targets[0]))


def show(evaluations: list[Evaluation]) -> None:
    """The scores as one table. Parity is that of a run's ONNX file with the run, or with the first."""
    for data, images in dict.fromkeys((e.data, e.images) for e in evaluations):
        render.say(f"{images} test images of {data}")
    render.say(
        "ms: of one image alone; parity: max |diff| of max |logit|, to the run or the first target"
    )
    top5 = any(e.classes > 5 for e in evaluations)  # else it is 100 %
    render.table(
        (
            "target",
            "kind",
            "top-1 %",
            *["top-5 %"] * top5,
            "bytes",
            "images/s",
            "ms",
            "parity",
            "same top-1 %",
        ),
        (
            (
                e.target,
                f"{e.kind}, kernels" if e.kernels else e.kind,
                f"{e.top1:.2f}",
                *[f"{e.top5:.2f}" if e.classes > 5 else None] * top5,
                e.bytes,
                round(e.images_per_s),
                f"{e.ms_per_image:.2f}",
                parity(e),
                None if e.top1_agreement is None else f"{e.top1_agreement:.2f}",
            )
            for e in evaluations
        ),
        drop=("same top-1 %", "ms", "top-5 %", "images/s", "bytes"),
    )
    for e in evaluations[1:]:
        if e.kind == "onnx" and not e.compared_with:
            render.say(f"no parity for {e.target}: the first target has other images or classes")


def parity(evaluation: Evaluation) -> str | None:
    """`2.9e-06 of 14.2`."""
    if evaluation.max_abs_diff is None:
        return None
    return f"{evaluation.max_abs_diff:.1e} of {evaluation.max_abs_logit:.3g}"


def what_next(evaluations: list[Evaluation], run: str) -> str:
    """A run without an ONNX file is exported next; a run with one has a layer table, a file a speed."""
    if all(e.kind == "torch" for e in evaluations):
        return f"binarize export {run} --onnx"
    return f"binarize {'bench' if evaluations[0].kind == 'onnx' else 'summary'} {run}"
