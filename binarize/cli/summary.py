"""`binarize summary`: the layers of a run, or those that a model would have once converted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from binarize.cli import next_step, render
from binarize.cli.progress import working

if TYPE_CHECKING:
    from binarize.run import Run, RunInfo

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
        target = str(newest_run(skipped=render.warn).path)
        render.say(f"the newest run, {target}")
    run = next_step.run_of(Path(target))
    summary = of_run(run) if run else of_model(target)
    if as_json:
        render.emit_json(summary)
    for fact in ("model", "weights", "random", "estimator", "data", "parent"):
        if summary[fact]:
            render.say(f"{fact}: {describe_run(summary[fact])}")
    if run and run.info.fit is not None:
        for line in run.info.fit.lines():
            render.say(line)
    render.layer_table(summary["layers"], summary["totals"])
    render.next_command(
        next_step.after_converting(target, run.info) if run else f"binarize convert {target}"
    )


def of_run(run: Run) -> dict[str, Any]:
    """summary.json of a run, with what run.json says of its making."""
    info, summary = run.info, run.summary
    return {
        "run": str(run.path),
        "model": info.model.title,
        "weights": info.weights,
        "random": info.random,
        "estimator": estimator_of(info),
        "data": info.data.name,
        "parent": info.parent,
        "fit": info.fit.to_json() if info.fit else None,
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
    info = saved.info
    return {
        **saved.as_json(),
        "model": info.model.title,
        "estimator": estimator_of(info),
        "data": None,
        "parent": None,
    }


def estimator_of(info: RunInfo) -> dict[str, Any] | None:
    """`{"name": …, constant: value, …}`; None of a float model."""
    return info.conversion.estimator.to_json() if info.conversion else None


def describe_run(fact: str | list[str] | dict[str, Any]) -> str:
    """`ab-tanh, a_end 0.8` of an estimator; names one after the other; anything else is a word already."""
    if isinstance(fact, str):
        return fact
    if isinstance(fact, list):
        return ", ".join(fact)
    constants = [f"{name} {value}" for name, value in fact.items() if name != "name"]
    return ", ".join([fact["name"], *constants])
