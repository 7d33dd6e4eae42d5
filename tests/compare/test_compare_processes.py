"""Cells in processes of their own: all of them end, and what they say arrives."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import compare_grids as grids
import pytest

from binarize.compare import __main__ as worker
from binarize.compare import schedule
from binarize.compare.arms import parse_arm
from binarize.compare.cell import Record, read_record
from binarize.compare.grid import Cell, Manifest, write_grid
from binarize.compare.schedule import Child, children, outcome, run_apart
from binarize.errors import BinarizeError, DataError, TrainingError
from binarize.progress import Progress

SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
)


@pytest.fixture
def grid(tmp_path):
    return write_grid(
        tmp_path / "grid", Manifest("tiny", grids.CONTENTS, [], None, ["float", "ste"], 2)
    )


def child_of(grid, cell, code):
    """A process that runs `code` in the place of a training."""
    path = grid.beside(cell, ".log")
    path.parent.mkdir(exist_ok=True)
    log = path.open("wb")
    process = subprocess.Popen([sys.executable, "-c", code], stdout=log, stderr=log)
    return Child(cell, process, log)


def ended(grid, code):
    child = child_of(grid, grid.cells[1], code)
    child.process.wait()
    child.log.close()
    return outcome(grid, child)


def test_leaving_the_block_ends_all_of_them(grid):
    try:
        with children() as running:
            running += [child_of(grid, cell, SLEEP) for cell in grid.cells[:2]]
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert [child.process.returncode for child in running] == [-15, -15]


def test_one_that_does_not_listen_is_killed(grid, monkeypatch):
    monkeypatch.setattr(schedule, "PATIENCE_SECONDS", 0.1)
    with children() as running:
        running.append(child_of(grid, grid.cells[0], STUBBORN))
        while not grid.beside(grid.cells[0], ".log").read_text():
            pass
    assert running[0].process.returncode == -9


def test_what_its_end_means(grid):
    cell = grid.cells[1]
    assert ended(grid, "") is None  # without a record: another process is at it
    with pytest.raises(KeyboardInterrupt):
        ended(grid, "raise SystemExit(130)")
    with pytest.raises(TrainingError, match="no images") as caught:
        ended(grid, 'print(\'noise\\n{"message": "no images", "hint": "look"}\'); exit(1)')
    assert caught.value.hint == "look"
    with pytest.raises(TrainingError, match="ended unexpectedly"):
        ended(grid, "1/0")
    killed = ended(grid, "import os; os.kill(os.getpid(), 9)")
    assert killed.error == "its process was ended by signal 9"
    assert read_record(grid, cell) == killed


def test_never_more_than_jobs_at_a_time_and_each_once(grid, monkeypatch):
    together, started, done, told = [], [], [], []

    def start(grid, cell, data_dir, jobs):
        started.append(cell.name)
        together.append(len(started) - len(done))
        return child_of(grid, cell, "")

    class Listening(Progress):
        def task(self, what, total=None, done=0):
            told.append((done, total))

        def update(self, number, note=""):
            told.append(number)
            assert number == len(done)

    monkeypatch.setattr(schedule, "start_child", start)
    monkeypatch.setattr(schedule, "POLL_SECONDS", 0.02)
    run_apart(grid, grid.cells, None, 2, Listening(), lambda cell, _: done.append(cell.name))
    assert started == [cell.name for cell in grid.cells]
    assert sorted(done) == sorted(started)
    assert max(together) == 2
    assert told == [(0, 4), 1, 2, 3, 4]


def test_the_process_itself(grid, monkeypatch, capsys):
    cell = Cell(parse_arm("ste"), 1)
    asked = []

    def run(found, wanted, data_dir):
        asked.append((found.path, wanted.name, str(data_dir)))
        return Record("ste", 1, {})

    monkeypatch.setattr(worker, "run_cell", run)
    assert worker.main([str(grid.path), cell.name]) == 0
    assert worker.main([str(grid.path), cell.name, "images"]) == 0
    assert asked == [(grid.path, cell.name, "None"), (grid.path, cell.name, "images")]
    for problem, code in ((KeyboardInterrupt(), 130), (DataError("no images", "look"), 1)):

        def fail(*_, problem=problem):
            raise problem

        monkeypatch.setattr(worker, "run_cell", fail)
        assert worker.main([str(grid.path), cell.name]) == code
    assert capsys.readouterr().err == '{"message": "no images", "hint": "look"}\n'


def test_a_directory_without_a_manifest_is_no_grid(tmp_path):
    with pytest.raises(BinarizeError, match="not the directory of a comparison"):
        worker.main([str(tmp_path), "ste-seed0"])


PARENT = """
import sys, time
from pathlib import Path
from binarize.compare.grid import open_grid
from binarize.compare.schedule import start_child
grid = open_grid(Path("grid"))
child = start_child(grid, grid.cells[1], None, 1)
print(child.process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_a_cell_stops_when_its_parent_is_killed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stage = {"epochs": 1000, "optimizer": {"name": "momentum", "lr": 0.05}}
    contents = {**grids.CONTENTS, "stages": [stage]}
    grid = write_grid(Path("grid"), Manifest("tiny", contents, [], None, ["float", "ste"], 1))
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    lock, trained = grid.beside(grid.cells[1], ".lock"), grid.run(grid.cells[1]) / "last"
    try:
        wait_until(trained.exists)
        assert lock.read_text() == f"{child}\n"
        parent.kill()
        wait_until(lambda: not lock.exists())
        assert read_record(grid, grid.cells[1]) is None
    finally:
        parent.kill()
        parent.communicate()
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def wait_until(condition):
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("it took more than two minutes")
