"""`binarize summary`: what became of every layer of a run, or would become of a model's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from binarize.cli import render

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
    from binarize.run import newest_run, open_run

    if target is None:
        target = str(newest_run().path)
        render.say(f"the newest run, {target}")
    is_path = Path(target).exists()
    summary = of_run(open_run(target)) if is_path else of_model(target)
    if as_json:
        render.emit_json(summary)
    for fact in ("model", "weights", "estimator", "data", "parent"):
        if summary.get(fact):
            render.say(f"{fact}: {summary[fact]}")
    render.layer_table(summary["layers"], summary["totals"])
    render.next_command(f"binarize eval {target}" if is_path else f"binarize convert {target}")


def of_run(run: Any) -> dict[str, Any]:
    """summary.json of a run, with what run.json says of its making."""
    from binarize.errors import RunError

    info = run.info
    try:
        summary = run.read_json("summary.json")
    except (OSError, ValueError) as error:
        raise RunError(
            f'"{run.path / "summary.json"}" is missing or damaged',
            "make the run again: binarize convert",
        ) from error
    return {
        "run": str(run.path),
        "model": f"{info.model['library']}/{info.model['name']}",
        "weights": info.weights,
        "estimator": (info.conversion or {}).get("estimator"),
        "data": info.data.get("name"),
        "parent": info.parent,
        **summary,
    }


def of_model(name: str) -> dict[str, Any]:
    """The same of a model as the library makes it, converted with the default options."""
    with render.working(f"reading {name}") as step:
        from binarize import api, rewrite

        saved = api.convert_to_run(
            name, rewrite.Options(), dry_run=True, step=step, pretrained=False
        )
    info = saved.info
    return {**saved.as_json(), "model": f"{info.model['library']}/{info.model['name']}"}
