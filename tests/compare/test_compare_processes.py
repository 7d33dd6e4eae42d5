"""Trials in processes of their own: all of them end, and what they say arrives."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import compare_sweeps as sweeps
import pytest

from binarize.comparing import __main__ as worker
from binarize.comparing import schedule
from binarize.comparing.schedule import Child, children, outcome, run_in_processes
from binarize.comparing.sweep import Manifest, Trial, write_sweep
from binarize.comparing.trial import Record, read_record
from binarize.comparing.variants import parse_variant
from binarize.errors import BinarizeError, DataError, TrainingError
from binarize.progress import Progress

SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
)


@pytest.fixture
def sweep(tmp_path):
    return write_sweep(
        tmp_path / "grid", Manifest("tiny", sweeps.CONTENTS, [], None, ["float", "ste"], 2)
    )


def child_of(sweep, trial, code):
    """A process that runs `code` in the place of a training."""
    path = sweep.beside(trial, ".log")
    path.parent.mkdir(exist_ok=True)
    log = path.open("wb")
    process = subprocess.Popen([sys.executable, "-c", code], stdout=log, stderr=log)
    return Child(trial, process, log)


def ended(sweep, code):
    child = child_of(sweep, sweep.trials[1], code)
    child.process.wait()
    child.log.close()
    return outcome(sweep, child)


def test_leaving_the_block_ends_all_of_them(sweep):
    try:
        with children() as running:
            running += [child_of(sweep, trial, SLEEP) for trial in sweep.trials[:2]]
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert [child.process.returncode for child in running] == [-15, -15]


def test_one_that_does_not_listen_is_killed(sweep, monkeypatch):
    monkeypatch.setattr(schedule, "PATIENCE_SECONDS", 0.1)
    with children() as running:
        running.append(child_of(sweep, sweep.trials[0], STUBBORN))
        while not sweep.beside(sweep.trials[0], ".log").read_text():
            pass
    assert running[0].process.returncode == -9


def test_what_its_end_means(sweep):
    trial = sweep.trials[1]
    assert ended(sweep, "") is None  # without a record: another process is running it
    with pytest.raises(KeyboardInterrupt):
        ended(sweep, "raise SystemExit(130)")
    with pytest.raises(TrainingError, match="no images") as caught:
        ended(sweep, 'print(\'noise\\n{"message": "no images", "hint": "look"}\'); exit(1)')
    assert caught.value.hint == "look"
    with pytest.raises(TrainingError, match="ended unexpectedly"):
        ended(sweep, "1/0")
    killed = ended(sweep, "import os; os.kill(os.getpid(), 9)")
    assert killed.error == "its process was ended by signal 9"
    assert read_record(sweep, trial) == killed


def test_never_more_than_jobs_at_a_time_and_each_once(sweep, monkeypatch):
    together, started, done, logged_error = [], [], [], []

    def start(sweep, trial, data_dir, jobs, gpu):
        started.append(trial.name)
        together.append(len(started) - len(done))
        return child_of(sweep, trial, "")

    class Listening(Progress):
        def task(self, what, total=None, done=0):
            logged_error.append((done, total))

        def update(self, number, note=""):
            logged_error.append(number)
            assert number == len(done)

    monkeypatch.setattr(schedule, "start_child", start)
    monkeypatch.setattr(schedule, "POLL_SECONDS", 0.02)
    run_in_processes(
        sweep, sweep.trials, None, 2, Listening(), lambda trial, _: done.append(trial.name)
    )
    assert started == [trial.name for trial in sweep.trials]
    assert sorted(done) == sorted(started)
    assert max(together) == 2
    assert logged_error == [(0, 4), 1, 2, 3, 4]


def test_the_process_itself(sweep, monkeypatch, capsys):
    trial = Trial(parse_variant("ste"), 1)
    asked = []

    def run(found, wanted, data_dir):
        asked.append((found.path, wanted.name, str(data_dir)))
        return Record("ste", 1, {})

    monkeypatch.setattr(worker, "run_trial", run)
    assert worker.main([str(sweep.path), trial.name]) == 0
    assert worker.main([str(sweep.path), trial.name, "images"]) == 0
    assert asked == [(sweep.path, trial.name, "None"), (sweep.path, trial.name, "images")]
    for problem, code in ((KeyboardInterrupt(), 130), (DataError("no images", "look"), 1)):

        def fail(*_, problem=problem):
            raise problem

        monkeypatch.setattr(worker, "run_trial", fail)
        assert worker.main([str(sweep.path), trial.name]) == code
    assert capsys.readouterr().err == '{"message": "no images", "hint": "look"}\n'


def test_a_directory_without_a_manifest_is_no_sweep(tmp_path):
    with pytest.raises(BinarizeError, match="not the directory of a comparison"):
        worker.main([str(tmp_path), "ste-seed0"])


PARENT = """
import sys, time
from pathlib import Path
from binarize.comparing.sweep import open_sweep
from binarize.comparing.schedule import start_child
sweep = open_sweep(Path("sweep"))
child = start_child(sweep, sweep.trials[1], None, 1)
print(child.process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_a_trial_stops_when_its_parent_is_killed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stage = {"epochs": 1000, "optimizer": {"name": "momentum", "lr": 0.05}}
    contents = {**sweeps.CONTENTS, "stages": [stage]}
    sweep = write_sweep(Path("sweep"), Manifest("tiny", contents, [], None, ["float", "ste"], 1))
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    lock, trained = sweep.beside(sweep.trials[1], ".lock"), sweep.run(sweep.trials[1]) / "last"
    try:
        wait_until(trained.exists)
        assert lock.read_text() == f"{child}\n"
        parent.kill()
        wait_until(lambda: not lock.exists())
        assert read_record(sweep, sweep.trials[1]) is None
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
