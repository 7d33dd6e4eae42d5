"""Run the trials that are left: one after another in this process, or several at a time in their own."""

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

from binarize.comparing.devices import VISIBLE, least_used, visible_gpus
from binarize.comparing.sweep import Sweep, Trial
from binarize.comparing.trial import Record, read_record, run_trial, write_record
from binarize.environment import usable_cores
from binarize.errors import BinarizeError, TrainingError
from binarize.progress import Progress

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 10  # that a process is given to end by itself

Ended = Callable[[Trial, Record | None], None]
"""Told of every trial that was tried; None where another process is training it."""


class CellProgress(Progress):
    """Passes on what the training of one trial tells, under a title.

    What it says stays unsaid: it is the same in every trial. So do the warnings of the float variant, which
    is meant to stay float.
    """

    def __init__(self, whole: Progress, trial: Trial, title: str) -> None:
        self._whole, self._cell, self._title = whole, trial, title

    def task(self, what: str, total: int | None = None, done: int = 0) -> None:
        self._whole.task(self._title, total, done)

    def update(self, done: int, note: str = "") -> None:
        self._whole.update(done, note)

    def warn(self, text: str, hint: str = "") -> None:
        if not self._cell.variant.is_float:
            self._whole.warn(f"{self._title}: {text}", hint)


def run_here(
    sweep: Sweep, trials: Sequence[Trial], data_dir: Path | None, progress: Progress, ended: Ended
) -> None:
    """One trial after another, in this process."""
    for number, trial in enumerate(trials, start=1):
        inner = CellProgress(progress, trial, f"{trial.title} ({number}/{len(trials)})")
        inner.task("loading")
        ended(trial, run_trial(sweep, trial, data_dir, inner))


@dataclass
class Child:
    """A trial in a process of its own, the file that holds what it says, and its GPU, where it has one."""

    trial: Trial
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    gpu: str | None = None

    def close(self) -> None:
        """Let go of its files, after its end."""
        for file in (self.log, self.process.stdin):
            if file is not None:
                file.close()


def run_in_processes(
    sweep: Sweep,
    trials: Sequence[Trial],
    data_dir: Path | None,
    jobs: int,
    progress: Progress,
    ended: Ended,
) -> None:
    """`jobs` trials at a time, each in a process of its own. All of them end with this block.

    They are spread over the GPUs that this process may use.
    """
    waiting, done, gpus = list(trials), 0, visible_gpus()
    progress.task("trials", len(trials))
    with children() as running:
        while waiting or running:
            while waiting and len(running) < jobs:
                gpu = least_used(gpus, [child.gpu for child in running])
                running.append(start_child(sweep, waiting.pop(0), data_dir, jobs, gpu))
            time.sleep(POLL_SECONDS)
            for child in [child for child in running if child.process.poll() is not None]:
                running.remove(child)
                child.close()
                ended(child.trial, outcome(sweep, child))
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


def start_child(
    sweep: Sweep, trial: Trial, data_dir: Path | None, jobs: int, gpu: str | None = None
) -> Child:
    """Start a process for a trial, in `child_environment`."""
    command = [sys.executable, "-m", "binarize.comparing", str(sweep.path), trial.name]
    command += [str(data_dir)] if data_dir is not None else []
    path = sweep.beside(trial, ".log")
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.open("wb")
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # open for as long as this process lives, see __main__
        stdout=log,
        stderr=subprocess.STDOUT,
        env=child_environment(jobs, gpu),
    )
    return Child(trial, process, log, gpu)


def child_environment(jobs: int, gpu: str | None) -> dict[str, str]:
    """That of this process, with a share of the cores where the recipe names no threads, and one GPU."""
    threads = {"OMP_NUM_THREADS": str(max(1, usable_cores() // jobs))}
    return {**threads, **os.environ, **({} if gpu is None else {VISIBLE: gpu})}


def outcome(sweep: Sweep, child: Child) -> Record | None:
    """The record of a process that has ended; None where it found the trial taken.

    Raises BinarizeError for what stops the whole sweep, KeyboardInterrupt where Ctrl-C reached the process
    first.
    """
    code = child.process.returncode
    if code == 0:
        return read_record(sweep, child.trial)
    if code in (130, -2):
        raise KeyboardInterrupt
    if code == 1:
        raise logged_error(sweep, child.trial)
    number = -code if code < 0 else code - 128  # ended by it at once, or after tidying up
    words = (
        f"its process was ended by signal {number}" if number > 0 else f"its process failed: {code}"
    )
    record = Record(child.trial.variant.name, child.trial.seed, None, words)
    write_record(sweep, child.trial, record)
    return record


def logged_error(sweep: Sweep, trial: Trial) -> BinarizeError:
    """The error at the end of a trial's log."""
    path = sweep.beside(trial, ".log")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    try:
        last = json.loads(lines[-1])
        return TrainingError(last["message"], last["hint"])
    except (IndexError, ValueError, KeyError, TypeError):
        return TrainingError(f'the training of "{trial.name}" ended unexpectedly', f"see {path}")
