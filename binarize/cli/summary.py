"""`binarize summary`: the layers of a run, or those that a model would have once converted."""

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
        typer.Argument(metavar="RUN|MODEL", help="A run or a model. [default: the newest run]"),
    ] = None,
    as_json: render.Json = False,
) -> None:
    """Show the layer table and totals of a run, or of a model as `binarize convert` would convert it."""
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
    from binarize.run import Run, is_run

    directory = path.parent if path.name in ("best", "last") else path
    return Run(directory) if is_run(directory) else None


def of_run(run: Run) -> dict[str, Any]:
    """summary.json of a run, with what run.json says of its making."""
    from binarize.errors import RunError

    info, summary = run.info, run.read_json("summary.json")
    try:
        layers, totals = summary["layers"], summary["totals"]
    except (TypeError, KeyError) as error:
        raise RunError(
            f'"{run.path / "summary.json"}" is damaged',
            "make the run again: binarize convert MODEL",
        ) from error
    return {
        "run": str(run.path),
        "model": f"{info.model['library']}/{info.model['name']}",
        "weights": info.weights,
        "estimator": (info.conversion or {}).get("estimator"),
        "data": info.data.get("name"),
        "parent": info.parent,
        "layers": layers,
        "totals": totals,
    }


def of_model(name: str) -> dict[str, Any]:
    """The same of a model as the library makes it, converted with the default options."""
    with working(f"reading {name}") as progress:
        from binarize import api, rewrite

        saved = api.convert_to_run(
            name, rewrite.Options(), dry_run=True, progress=progress, pretrained=False
        )
    info = saved.info
    return {**saved.as_json(), "model": f"{info.model['library']}/{info.model['name']}"}
