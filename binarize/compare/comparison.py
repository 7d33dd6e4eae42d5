"""A whole comparison: agree with what is there, run what is left, keep table and files up to date."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from binarize.compare.arms import FLOAT, Arm, own_choices, parse_arm, parse_arms
from binarize.compare.cell import Record, is_finished
from binarize.compare.grid import (
    Cell,
    Grid,
    Manifest,
    check_agreement,
    is_grid,
    open_grid,
    set_keys,
    write_grid,
)
from binarize.compare.page import write_compare_page
from binarize.compare.schedule import run_apart, run_here
from binarize.compare.table import Line, records, table, write_csv
from binarize.errors import BinarizeError
from binarize.progress import Progress
from binarize.recipe import Recipe, load
from binarize.report.curves import NEEDS_PLOT, can_draw
from binarize.run import layout, newest_run

CSV = "table.csv"


@dataclass(frozen=True)
class Comparison:
    """What came out so far.

    Attributes:
        grid: the directory and what it is made of.
        lines: the table.
        records: of the cells that have ended, in order.
        left: cells that another process is still training.
        files: written beside the cells.
        note: why a file is missing; empty where none is.
    """

    grid: Grid
    lines: list[Line]
    records: list[Record]
    left: list[str]
    files: list[str]
    note: str = ""

    @property
    def example(self) -> str | None:
        """The first run that is finished, float aside: something to look at next."""
        done = [r.result for r in self.records if r.result is not None and r.arm != FLOAT]
        return str(self.grid.path / done[0]["run"]) if done else None

    @property
    def failed(self) -> list[Record]:
        return [record for record in self.records if record.failed]

    def as_json(self) -> dict[str, Any]:
        """The JSON of `binarize compare`."""
        manifest = self.grid.manifest
        return {
            "grid": str(self.grid.path),
            "recipe": manifest.recipe,
            "changes": manifest.changes,
            "target": manifest.target,
            "seeds": manifest.seeds,
            "table": [asdict(line) for line in self.lines],
            "cells": [asdict(record) for record in self.records],
            "left": self.left,
            "files": self.files,
        }


def make_grid(
    recipe: str | Path | None,
    arms: str | Sequence[str] | None,
    seeds: int | None,
    target: str | Path | None,
    changes: Sequence[str],
    out: Path | None,
) -> Grid:
    """The grid to go on with: a new one, or the one at `out`, whose manifest says what is left out here.

    Nothing is written before every arm's recipe is known to be right.
    """
    path = out or layout.ROOT / f"compare-{Path(recipe).stem}" if recipe else out
    if path is None:
        raise BinarizeError("there is no recipe to compare by", "name one: binarize recipes ls")
    old = open_grid(path) if is_grid(path) else None
    if old is None and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise BinarizeError(
            f'"{path}" exists and is not the directory of a comparison', "name another with -o"
        )
    manifest = _manifest(old.manifest if old else None, recipe, arms, seeds, target, changes)
    grid = Grid(path, manifest)
    for arm in grid.arms:
        grid.recipe(Cell(arm, 0))
    if old is not None:
        check_agreement(old, manifest)
    return grid


def go_on(grid: Grid, data_dir: Path | None, jobs: int, progress: Progress) -> Comparison:
    """Train every cell of the grid that is not finished, and write what came out after each."""
    new = not grid.path.exists()
    write_grid(grid.path, grid.manifest)
    cells = [cell for cell in grid.cells if not is_finished(grid, cell)]
    progress.run(grid.path)
    finished = f", {len(grid.cells) - len(cells)} finished already" * (len(cells) < len(grid.cells))
    arms, seeds = len(grid.manifest.arms), grid.manifest.seeds
    progress.say(f"grid: {grid.path}, {arms} arms x {seeds} seeds{finished}")
    for key in own_choices(load(grid.manifest.contents)):
        progress.warn(f"the recipe sets {key}, which is the same in every arm")
    left: list[str] = []

    def ended(cell: Cell, record: Record | None) -> None:
        if record is None:
            left.append(cell.name)
            progress.say(f"{cell.title}: another process is training it")
            return
        write_files(grid)
        progress.say(record.sentence)

    try:
        if jobs == 1:
            run_here(grid, cells, data_dir, progress, ended)
        else:
            run_apart(grid, cells, data_dir, jobs, progress, ended)
    except BinarizeError:
        if new and not any((grid.path / "cells").glob(f"*/{layout.INFO}")):
            shutil.rmtree(grid.path)
        raise
    files, note = write_files(grid), "" if can_draw() else NEEDS_PLOT
    grid = open_grid(grid.path)
    left = [name for name in left if not is_finished(grid, grid.cell(name))]
    return Comparison(grid, table(grid), records(grid), left, files, note)


def write_files(grid: Grid) -> list[str]:
    """Write the table, and the page where matplotlib is at hand, of the cells that have ended.

    The manifest is read again: another process may have added arms in the meantime.
    """
    grid = open_grid(grid.path)
    files = [grid.path / CSV]
    write_csv(files[0], table(grid))
    if can_draw():
        files.append(write_compare_page(grid))
    return [str(path) for path in files]


def _manifest(
    old: Manifest | None,
    recipe: str | Path | None,
    arms: str | Sequence[str] | None,
    seeds: int | None,
    target: str | Path | None,
    changes: Sequence[str],
) -> Manifest:
    """The manifest that is asked for; what was not said is as it was."""
    if recipe is None and old is None:
        raise BinarizeError("there is no recipe to compare by", "name one: binarize recipes ls")
    if recipe is None and changes:
        raise BinarizeError("changes need the recipe that they change", "add --recipe")
    if arms is None and old is None:
        raise BinarizeError("no estimator is named", "name some: --estimators float,ste,ab-tanh")
    chosen: list[Arm] = parse_arms(arms) if arms is not None else [parse_arm(a) for a in old.arms]
    if recipe is None:
        name, contents, changes = old.recipe, old.contents, old.changes
    else:
        base = load(recipe, changes)
        name, contents = str(recipe), set_keys(base)
    return Manifest(
        recipe=name,
        contents=contents,
        changes=list(changes),
        target=_target(old, target, load(contents)),
        arms=[arm.name for arm in chosen],
        seeds=seeds if seeds is not None else old.seeds if old else 1,
        **({"created": old.created} if old else {}),
    )


def _target(old: Manifest | None, target: str | Path | None, recipe: Recipe) -> str | None:
    """What is trained. The newest run is looked up once: later it would be another one."""
    if target is not None:
        return str(target)
    if old is not None:
        return old.target
    return None if recipe.model is not None else str(newest_run().path)
