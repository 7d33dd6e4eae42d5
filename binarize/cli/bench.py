"""`binarize bench`: how fast and how large files are, beside their float model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from binarize.choices import MOST_THREADS
from binarize.cli import render
from binarize.cli.progress import working

if TYPE_CHECKING:
    from binarize.benching import Bench, Profile, Result

EXAMPLES = """
binarize bench
binarize bench runs/resnet18 other.onnx --threads 2 --int8-baseline
"""
SHOWN = 20  # nodes of a profile
SAME = 1e-4  # of the largest logit: what rounding in another order may amount to


def command(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN|FILE",
            help="ONNX files, and runs that hold model.onnx. [default: the newest run]",
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option(metavar="N", min=1, max=MOST_THREADS, help="Threads per operator.")
    ] = 1,
    batch: Annotated[
        int, typer.Option("--batch", "-b", metavar="N", min=1, help="Images per batch.")
    ] = 1,
    rounds: Annotated[
        int, typer.Option(metavar="N", min=1, help="How often each file is timed.")
    ] = 30,
    no_kernels: Annotated[
        bool, typer.Option("--no-kernels", help="Time stock onnxruntime only.")
    ] = False,
    int8_baseline: Annotated[
        bool,
        typer.Option("--int8-baseline", help="Time the float model quantised to int8, too."),
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show the time of every node, too.")
    ] = False,
    as_json: render.Json = False,
) -> None:
    """Time ONNX files against their float baseline, in stock onnxruntime and with the binarize kernels.

    Each file runs once per round, on images of noise. The float baseline is the same architecture with
    random weights. Memory is measured in a separate process for each file.
    """
    from binarize.benching import bench
    from binarize.run import newest_run

    if not files:
        files = [str(newest_run(skipped=render.warn).path)]
        render.say(f"benching the newest run, {files[0]}")
    with working("loading") as progress:
        done = bench(
            files,
            threads=threads,
            batch=batch,
            rounds=rounds,
            kernels=not no_kernels,
            int8_baseline=int8_baseline,
            profile=profile,
            progress=progress,
        )
    show(done, rounds, no_kernels)
    if as_json:
        render.emit_json(done.as_json())
    render.next_command(what_next(done, files, profile))


def show(done: Bench, rounds: int, no_kernels: bool) -> None:
    """What was done, the figures, and the profiles."""
    from binarize.kernels import installed

    first = done.results[0]
    render.say(f"{rounds} rounds, batch {first.batch}, {_count(first.threads, 'thread')}")
    for note in done.notes:
        render.say(note)
    if installed() is None and not no_kernels:
        render.say("this installation has no binarize kernels: stock onnxruntime only")
    compared = any(result.max_diff is not None for result in done.results)
    render.say(
        "ratio: median time relative to the float baseline; load: time to create a session; "
        "peak: memory on top of Python's"
        + "; max diff: of a logit, with and without the kernels, relative to the largest"
        * compared
    )
    columns = ("file", "form", "in", "ms", "p10-p90", "ratio", "load ms", "peak MB", "bytes")
    render.table(
        (*columns, *["max diff"] * compared),
        (row(one, compared) for one in done.results),
        drop=("p10-p90", "load ms", "peak MB", "max diff"),
    )
    for result in done.results:
        if result.max_diff is not None and not result.max_diff <= SAME:
            render.warn(
                f"{result.file}: with the kernels, logits are up to {result.max_diff:.1e} of the largest "
                "away from stock onnxruntime's",
                "with binary inputs a sign may flip; binarize eval says what that does to the top-1",
            )
    for one in done.profiles or ():
        show_profile(one)


def row(result: Result, compared: bool) -> tuple[object, ...]:
    """A line of the table; its last cell only where kernels were `compared` with stock onnxruntime."""
    diff = None if result.max_diff is None else f"{result.max_diff:.1e}"
    return (
        result.file,
        result.form,
        way(result),
        f"{result.median_ms:.2f}",
        f"{result.p10_ms:.2f}-{result.p90_ms:.2f}",
        f"{result.ratio_to_float:.3f}",
        f"{result.load_ms:.0f}",
        None if result.peak_mb is None else f"{result.peak_mb:.0f}",
        result.bytes,
        *[diff] * compared,
    )


def show_profile(profile: Profile) -> None:
    """The nodes that take longest."""
    render.say(f"{profile.file}, {profile.form}, {way(profile)}:")
    shown, rest = profile.nodes[:SHOWN], profile.nodes[SHOWN:]
    rows: list[tuple[str, str | None, str, str]] = [
        (one.node, one.op, f"{one.median_ms:.3f}", f"{one.share:.1%}") for one in shown
    ]
    if rest:
        spent, share = sum(one.median_ms for one in rest), sum(one.share for one in rest)
        rows.append((f"{len(rest)} more", None, f"{spent:.3f}", f"{share:.1%}"))
    render.table(("node", "op", "ms", "share"), rows, drop=("op",))


def way(one: Result | Profile) -> str:
    return "onnxruntime, kernels" if one.kernels else "onnxruntime"


def what_next(done: Bench, files: list[str], profile: bool) -> str:
    """Where the time goes, node by node; who knows that asks for accuracies."""
    return f"binarize eval {files[0]}" if profile else f"binarize bench {files[0]} --profile"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)
