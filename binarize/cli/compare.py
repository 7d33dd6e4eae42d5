"""`binarize compare`: train one recipe with several estimators and seeds, and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from binarize.cli import render

if TYPE_CHECKING:
    from binarize.compare import Comparison

EXAMPLES = """
binarize compare resnet18 --recipe digits --estimators float,ste --seeds 2
binarize compare --recipe mine.yaml --estimators float,ab-tanh -o sweep
"""


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
        typer.Option("--jobs", "-j", metavar="N", min=1, help="Trials to train at the same time."),
    ] = 1,
    as_json: render.Json = False,
) -> None:
    """Train every variant with every seed by one recipe, and compare them in one table.

    The table is also in DIR/table.csv and DIR/report.html; each trial of the sweep is a run under DIR/cells.
    Repeat the command to resume after an interruption, to add variants or seeds, or to retry failed
    trials; finished trials are kept.
    """
    if recipe is None and out is None:
        raise typer.BadParameter("give --recipe NAME|FILE, or --out DIR of an earlier comparison")
    from binarize.compare import compare

    with render.progress("loading") as bar:
        watcher = _watcher(bar)
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
                watcher=watcher,
            )
        except KeyboardInterrupt:
            if watcher.path is not None:
                render.say(f"the sweep is kept; to resume it: binarize compare -o {watcher.path}")
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
        render.next_command(f"binarize compare -o {comparison.grid.path}")
    else:
        render.next_command(f"binarize report {comparison.example}")


def _watcher(bar: render.Bar) -> Any:
    """A watcher that draws on `bar` and says one line per cell."""
    from binarize.compare import Watcher
    from binarize.compare.grid import Cell, Grid
    from binarize.train import Reporter

    class CellTalk(Reporter):
        """The bar of one cell. What is said on the way stays unsaid: it is the same in every cell."""

        def __init__(self, title: str, is_float: bool) -> None:
            self.title, self.is_float = title, is_float
            self.epochs = self.done = 0

        def warn(self, text: str, hint: str = "") -> None:
            if not self.is_float:  # which stays float, as it was asked to
                render.warn(f"{self.title}: {text}", hint)

        def phase(self, name: str, epochs: int, done: int) -> None:
            self.epochs = epochs

        def epoch(self, number: int, steps: int) -> None:
            self.done = 0
            bar.restart(f"{self.title}, epoch {number}/{self.epochs}", steps)

        def step(self, done: int, loss: float) -> None:
            bar.step(done - self.done, f"loss {loss:.3f}")
            self.done = done

    class Talk(Watcher):
        path: Path | None = None

        def begins(self, grid: Grid, left: int, done: int) -> None:
            self.path = grid.path
            arms, seeds = len(grid.manifest.arms), grid.manifest.seeds
            finished = f", {done} finished already" if done else ""
            render.say(f"grid: {grid.path}, {arms} arms x {seeds} seeds{finished}")

        def warn(self, text: str, hint: str = "") -> None:
            render.warn(text, hint)

        def starts(self, cell: Cell, number: int, total: int) -> Reporter:
            title = f"{cell.arm.name}, seed {cell.seed} ({number}/{total})"
            bar.restart(title)
            return CellTalk(title, cell.arm.is_float)

        def ends(self, cell: Cell, record: Any) -> None:
            render.say(_line(record))

        def busy(self, cell: Cell) -> None:
            render.say(f"{cell.arm.name}, seed {cell.seed}: another process is training it")

    return Talk()


def _line(record: Any) -> str:
    """What is said of a cell that has ended."""
    name = f"{record.arm}, seed {record.seed}"
    if record.failed:
        return f"{name}: failed, {record.error}"
    result = record.result
    return (
        f"{name}: top-1 {result['top1']:.2f} % after {result['epochs']} epochs "
        f"({result['seconds']:.0f} s)"
    )
