"""`binarize compare`: train one recipe with several estimators and seeds, and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from binarize.cli import render
from binarize.cli.progress import working

if TYPE_CHECKING:
    from binarize.compare import Comparison

EXAMPLES = """
binarize compare cifar_resnet20 --recipe digits --estimators float,ste,ab-tanh --seeds 2
binarize compare --recipe cifar10-resnet20 --estimators float,ste:standardise=false,ab-tanh -o grid
"""


def command(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|MODEL]",
            help="What every cell starts from; default: the recipe's model, else the newest run.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="See `binarize recipes ls`; a file ends in .yaml."),
    ] = None,
    estimators: Annotated[
        str | None,
        typer.Option(
            metavar="ARM,ARM…",
            help="`float`, names from `binarize estimators ls`, or NAME:KEY=VALUE;KEY=VALUE, where KEY "
            "is a constant, a key of the recipe's `binarize`, or any key with its dots.",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The seeds 0 to N-1; default: 1 of them.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the images are; wins over the recipe's data.dir."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of the recipe for all arms; repeatable.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="GRID",
            help="The directory, gone on with if it exists; default: runs/compare-RECIPE.",
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", min=1, help="Cells trained at a time.")
    ] = 1,
    as_json: render.Json = False,
) -> None:
    """Train every estimator with every seed by one recipe: one table, GRID/table.csv and report.html.

    Each cell of the grid is an ordinary run under GRID/cells. Type the command again to go on after an
    interruption, to add arms or seeds, or to try again what failed; what is finished stays.
    """
    if recipe is None and out is None:
        raise typer.BadParameter("give --recipe NAME|FILE, or --out GRID of an earlier comparison")
    from binarize.compare import compare

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
                render.say(f"the grid is kept; to go on: binarize compare -o {progress.path}")
            raise
    show(comparison)
    if as_json:
        render.emit_json(comparison.as_json())
    _close(comparison)
    if comparison.failed:
        raise typer.Exit(1)


def show(comparison: Comparison) -> None:
    """The table, what its columns mean, and the files."""
    from binarize.compare.table import LEGEND, shown

    render.table(*shown(comparison.lines))
    render.say(LEGEND)
    for path in comparison.files:
        render.say(f"wrote {path}")
    if comparison.note:
        render.say(comparison.note)


def _close(comparison: Comparison) -> None:
    """What is left, what failed, and what to type next."""
    if comparison.left:
        names = ", ".join(comparison.left)
        render.say(f"another process is training {names}: the table is without them")
    for record in comparison.failed:
        render.warn(f"{record.arm}, seed {record.seed}: {record.error}", record.hint)
    if comparison.example is None:
        render.next_command(f"binarize compare -o {comparison.grid.path}")
    else:
        render.next_command(f"binarize report {comparison.example}")
