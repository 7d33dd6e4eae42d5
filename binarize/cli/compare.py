"""`binarize compare`: train one recipe with several estimators and seeds, and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from binarize import outputs
from binarize.cli import recipe_options, render
from binarize.cli.command import WrongUsage
from binarize.cli.progress import working

if TYPE_CHECKING:
    from binarize.comparing import Comparison

EXAMPLES = """
binarize compare resnet18 --recipe digits --estimators float,ste --seeds 2
binarize compare --recipe mine.yaml --estimators float,ab-tanh -o sweep
"""
Command = recipe_options.Command


def command(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|MODEL",
            help="What every trial starts from. [default: the recipe's model, else the newest run]",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="A name from `binarize recipes ls`, or a .yaml file."
        ),
    ] = None,
    estimators: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="The variants to compare: float, names from `binarize estimators ls`, or "
            "NAME:KEY=VALUE;KEY=VALUE, where KEY is a constant of the estimator, a key of the recipe's "
            "`binarize` section, or the full path of any key (stages.0.epochs).",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Train with seeds 0 to N-1. [default: 1]")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Directory of the images; overrides the recipe's data.dir."
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of the recipe for all variants; repeatable.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Directory of the sweep, resumed if it exists. [default: runs/compare-RECIPE]",
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            metavar="N",
            min=1,
            help="Trials to train at the same time, on different GPUs if there are any.",
        ),
    ] = 1,
    as_json: render.Json = False,
) -> None:
    """Train every variant with every seed by one recipe, and compare them in one table.

    The table is also in DIR/table.csv and DIR/report.html; each trial of the sweep is a run under DIR/cells.
    Repeat the command to resume after an interruption, to add variants or seeds, or to retry failed
    trials; finished trials are kept.
    """
    recipe_options.refuse_recipe(target, "binarize compare")
    if recipe is None and out is None:
        hint = "give --recipe NAME|FILE, or --out DIR of an earlier comparison"
        raise WrongUsage("there is no recipe", hint)
    if out is not None:
        outputs.check_resumable(out)
    from binarize.comparing import compare

    with working("loading") as progress:
        try:
            comparison = compare(
                recipe,
                estimators,
                seeds,
                target,
                data_dir=data_dir,
                overrides=changes or (),
                out=out,
                jobs=jobs,
                progress=progress,
            )
        except KeyboardInterrupt:
            if progress.path is not None:
                render.say(f"the sweep is kept; to resume it: binarize compare -o {progress.path}")
            raise
    show(comparison)
    if as_json:
        render.emit_json(comparison.as_json())
    _close(comparison)
    if comparison.failed:
        raise typer.Exit(1)


def show(comparison: Comparison) -> None:
    """The table, what its columns mean, and the files."""
    from binarize.comparing.table import LEGEND, shown

    titles, rows = shown(comparison.lines)
    render.table(titles, rows, drop=[name for name in reversed(titles[4:]) if name != "failed"])
    render.say(LEGEND)
    for path in comparison.files:
        render.say(f"wrote {path}")
    if comparison.note:
        render.say(comparison.note)


def _close(comparison: Comparison) -> None:
    """What is left, what failed, and what to type next."""
    if comparison.left:
        names = ", ".join(comparison.left)
        render.say(f"another process is training {names}: they are not in the table")
    for record in comparison.failed:
        render.warn(f"{record.arm}, seed {record.seed}: {record.error}", record.hint)
    if comparison.example is None:
        render.next_command(f"binarize compare -o {comparison.sweep.path}")
    else:
        render.next_command(f"binarize report {comparison.example}")
