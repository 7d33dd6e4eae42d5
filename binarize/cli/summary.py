"""`binarize summary`: what became of every layer of a run, or would become of a model's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from binarize.cli import render
from binarize.cli.progress import working

if TYPE_CHECKING:
    from binarize.run import Run

EXAMPLES = """
binarize summary
binarize summary vit_base_patch16_224 --json
"""


def command(
    target: Annotated[
        str | None,
        typer.Argument(metavar="RUN|MODEL", help="A run or a model; default: the newest run."),
    ] = None,
    as_json: render.Json = False,
) -> None:
    """Show the layer table and totals of a run, or those that a model would have once converted."""
    from binarize.run import newest_run

    if target is None:
        target = str(newest_run().path)
        render.say(f"the newest run, {target}")
    run = run_of(Path(target))
    summary = of_run(run) if run else of_model(target)
    if as_json:
        render.emit_json(summary)
    for fact in ("model", "weights", "estimator", "data", "parent"):
        if summary.get(fact):
            render.say(f"{fact}: {summary[fact]}")
    render.layer_table(summary["layers"], summary["totals"])
    render.next_command(f"binarize eval {target}" if run else f"binarize convert {target}")


def run_of(path: Path) -> Run | None:
    """The run at `path`, or that `path` is a checkpoint of (RUN/best, RUN/last)."""
    from binarize.run import Run, is_run, layout

    directory = layout.run_of(path)
    return Run(directory) if is_run(directory) else None


def of_run(run: Run) -> dict[str, Any]:
    """summary.json of a run, with what run.json says of its making."""
    info, summary = run.info, run.summary
    return {
        "run": str(run.path),
        "model": info.model.title,
        "weights": info.weights,
        "estimator": info.conversion.estimator.to_json() if info.conversion else None,
        "data": info.data.name,
        "parent": info.parent,
        "layers": summary["layers"],
        "totals": summary["totals"],
    }


def of_model(name: str) -> dict[str, Any]:
    """The same of a model as the library makes it, converted with the default options."""
    with working(f"reading {name}") as progress:
        from binarize import api, rewrite

        saved = api.convert_to_run(
            name,
            rewrite.Options(),
            rewrite.SourceOptions(pretrained=False),
            dry_run=True,
            progress=progress,
        )
    return {**saved.as_json(), "model": saved.info.model.title}
