"""Train one cell of a grid: once, from where it is, with what came out written beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from binarize.compare.grid import Cell, Grid
from binarize.compare.lock import held
from binarize.errors import BinarizeError, DataError, RecipeError
from binarize.progress import Progress
from binarize.run import is_run, write_json
from binarize.train import train

ALIKE_EVERYWHERE = (DataError, RecipeError, OSError)
"""What is wrong with one cell in these ways is wrong with all of them: the grid stops."""


@dataclass(frozen=True)
class Record:
    """What came of a cell: a result (the JSON of `binarize train`) or an error with its hint."""

    arm: str
    seed: int
    result: dict[str, Any] | None = None
    error: str | None = None
    hint: str = ""

    @property
    def failed(self) -> bool:
        return self.error is not None

    @property
    def sentence(self) -> str:
        """What is said of a cell that has ended."""
        name = f"{self.arm}, seed {self.seed}"
        if self.result is None:
            return f"{name}: failed, {self.error}"
        top1, epochs, seconds = (self.result[key] for key in ("top1", "epochs", "seconds"))
        return f"{name}: top-1 {top1:.2f} % after {epochs} epochs ({seconds:.0f} s)"


def read_record(grid: Grid, cell: Cell) -> Record | None:
    """What is known of a cell; None before its end."""
    path = grid.beside(cell, ".json")
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write_record(grid: Grid, cell: Cell, record: Record) -> None:
    write_json(grid.beside(cell, ".json"), asdict(record))


def is_finished(grid: Grid, cell: Cell) -> bool:
    """Whether there is nothing left to train. A cell that failed is tried again."""
    record = read_record(grid, cell)
    return record is not None and not record.failed


def run_cell(
    grid: Grid, cell: Cell, data_dir: Path | None = None, progress: Progress | None = None
) -> Record | None:
    """Train a cell to its end and write its record; None where another process is at it.

    Raises what would go wrong in every cell (`ALIKE_EVERYWHERE`), and KeyboardInterrupt; the cell stays
    resumable.
    """
    with held(grid.beside(cell, ".lock")) as alone:
        if not alone:
            return None
        if is_finished(grid, cell):  # another process did it in the meantime
            return read_record(grid, cell)
        record = _train(grid, cell, data_dir, progress)
        write_record(grid, cell, record)
        return record


def _train(grid: Grid, cell: Cell, data_dir: Path | None, progress: Progress | None) -> Record:
    path = grid.run(cell)
    try:
        if is_run(path):
            result = train(resume=path, data_dir=data_dir, progress=progress)
        else:
            recipe, target = grid.recipe(cell), grid.manifest.target
            result = train(recipe, target, data_dir=data_dir, out=path, progress=progress)
    except ALIKE_EVERYWHERE:
        raise
    except BinarizeError as error:
        return Record(cell.arm.name, cell.seed, None, error.message, error.hint)
    except Exception as error:
        words = " ".join(str(error).split()) or "no message"
        return Record(cell.arm.name, cell.seed, None, f"unexpected {type(error).__name__}: {words}")
    return Record(cell.arm.name, cell.seed, {**result.as_json(), "run": f"cells/{cell.name}"})
