"""Run the cells that are left: one after another in this process, or several at a time in their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from binarize.compare.cell import Record, read_record, run_cell, write_record
from binarize.compare.grid import Cell, Grid
from binarize.environment import usable_cores
from binarize.errors import BinarizeError, TrainingError
from binarize.progress import Progress

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 10  # that a process is given to end by itself

Ended = Callable[[Cell, Record | None], None]
"""Told of every cell that was tried; None where another process is training it."""


class CellProgress(Progress):
    """Passes on what the training of one cell tells, under a title.

    What it says stays unsaid: it is the same in every cell. So do the warnings of the float arm, which is
    meant to stay float.
    """

    def __init__(self, whole: Progress, cell: Cell, title: str) -> None:
        self._whole, self._cell, self._title = whole, cell, title

    def task(self, what: str, total: int | None = None, done: int = 0) -> None:
        self._whole.task(self._title, total, done)

    def update(self, done: int, note: str = "") -> None:
        self._whole.update(done, note)

    def warn(self, text: str, hint: str = "") -> None:
        if not self._cell.arm.is_float:
            self._whole.warn(f"{self._title}: {text}", hint)


def run_here(
    grid: Grid, cells: Sequence[Cell], data_dir: Path | None, progress: Progress, ended: Ended
) -> None:
    """One cell after another, in this process."""
    for number, cell in enumerate(cells, start=1):
        inner = CellProgress(progress, cell, f"{cell.title} ({number}/{len(cells)})")
        inner.task("loading")
        ended(cell, run_cell(grid, cell, data_dir, inner))


@dataclass
class Child:
    """A cell in a process of its own, and the file that holds what it says."""

    cell: Cell
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def close(self) -> None:
        """Let go of its files, after its end."""
        for file in (self.log, self.process.stdin):
            if file is not None:
                file.close()


def run_apart(
    grid: Grid,
    cells: Sequence[Cell],
    data_dir: Path | None,
    jobs: int,
    progress: Progress,
    ended: Ended,
) -> None:
    """`jobs` cells at a time, each in a process of its own. All of them end with this block."""
    waiting, done = list(cells), 0
    progress.task("cells", len(cells))
    with children() as running:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(start_child(grid, waiting.pop(0), data_dir, jobs))
            time.sleep(POLL_SECONDS)
            for child in [child for child in running if child.process.poll() is not None]:
                running.remove(child)
                child.close()
                ended(child.cell, outcome(grid, child))
                done += 1
                progress.update(done)


@contextlib.contextmanager
def children() -> Iterator[list[Child]]:
    """A list of processes that are stopped when the block is left, however it is left."""
    running: list[Child] = []
    try:
        yield running
    finally:
        for child in running:
            child.process.terminate()
        for child in running:
            try:
                child.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            child.close()


def start_child(grid: Grid, cell: Cell, data_dir: Path | None, jobs: int) -> Child:
    """Start a process for a cell, with its share of the cores where the recipe names no threads."""
    command = [sys.executable, "-m", "binarize.compare", str(grid.path), cell.name]
    command += [str(data_dir)] if data_dir is not None else []
    threads = {"OMP_NUM_THREADS": str(max(1, usable_cores() // jobs))}
    path = grid.beside(cell, ".log")
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.open("wb")
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # open for as long as this process lives, see __main__
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**threads, **os.environ},
    )
    return Child(cell, process, log)


def outcome(grid: Grid, child: Child) -> Record | None:
    """The record of a process that has ended; None where it found the cell taken.

    Raises BinarizeError for what stops the whole grid, KeyboardInterrupt where Ctrl-C reached the process
    first.
    """
    code = child.process.returncode
    if code == 0:
        return read_record(grid, child.cell)
    if code in (130, -2):
        raise KeyboardInterrupt
    if code == 1:
        raise told(grid, child.cell)
    words = (
        f"its process was ended by signal {-code}" if code < 0 else f"its process failed: {code}"
    )
    record = Record(child.cell.arm.name, child.cell.seed, None, words)
    write_record(grid, child.cell, record)
    return record


def told(grid: Grid, cell: Cell) -> BinarizeError:
    """The error at the end of a cell's log."""
    path = grid.beside(cell, ".log")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    try:
        last = json.loads(lines[-1])
        return TrainingError(last["message"], last["hint"])
    except (IndexError, ValueError, KeyError, TypeError):
        return TrainingError(f'the training of "{cell.name}" ended unexpectedly', f"see {path}")
