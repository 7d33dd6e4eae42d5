"""Two trainings of one run at once: the second one is refused, and touches nothing."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import train_runs as tiny

from binarize.errors import RunBusyError
from binarize.recipe import dump
from binarize.run.lock import held
from binarize.training import alone, train
from binarize.training.alone import alone_in


class Listening(tiny.Told):
    """Notes at every step whether the lock of the run is held."""

    def __init__(self) -> None:
        super().__init__()
        self.free: list[bool] = []

    def update(self, done: int, note: str = "") -> None:
        with held(self.path / ".lock") as alone:
            self.free.append(alone)


def contents(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path):
    run, listening = tmp_path / "run", Listening()
    with pytest.raises(tiny.Killed):
        train(tiny.recipe(2, **tiny.BINARY), out=run, progress=tiny.KillIn("binarized", 2))
    half = run / ".last.part"
    half.mkdir()
    (half / "model.safetensors").write_text("the other process writes it")
    with held(run / ".lock"):
        before = contents(run)
        with pytest.raises(RunBusyError, match=f"{run.name}.*another process.*{os.getpid()}"):
            train(resume=run)
        assert contents(run) == before
    assert train(resume=run, progress=listening).epochs == 2
    assert listening.free
    assert not any(listening.free)
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]


def process(main: bool) -> Any:
    return SimpleNamespace(is_main_process=main)


def full_disk(_: Path) -> None:
    raise OSError("the disk is full")


def test_the_second_one_is_refused_until_the_first_has_ended(tmp_path):
    for _ in range(2):
        with alone_in(tmp_path, process(main=True)):
            assert (tmp_path / ".lock").is_file()
            with (
                pytest.raises(RunBusyError, match=rf"another process \({os.getpid()}\)"),
                alone_in(tmp_path, process(main=True)),
            ):
                pass


def test_the_other_processes_do_what_the_first_one_says(tmp_path, monkeypatch):
    """They take no lock themselves; where the first cannot take it, they do not train either."""
    told: list[list[bool]] = []

    def says(alone: list[bool]) -> None:
        told.append(list(alone))
        alone[0] = first

    monkeypatch.setattr(alone, "broadcast_object_list", says)
    first = True
    with alone_in(tmp_path, process(main=False)):
        assert list(tmp_path.iterdir()) == []
    first = False
    with pytest.raises(RunBusyError), alone_in(tmp_path, process(main=False)):
        pass
    monkeypatch.setattr(alone, "held", full_disk)
    with pytest.raises(OSError, match="full"), alone_in(tmp_path, process(main=True)):
        pass
    assert told == [[False]] * 3


@pytest.mark.slow
def test_two_commands_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(dump(tiny.recipe(4, **tiny.BINARY)))
    with pytest.raises(tiny.Killed):
        train("tiny.yaml", out="run", progress=tiny.KillIn("binarized", 1))
    command = [sys.executable, "-m", "binarize", "train", "--resume", "run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # Whoever comes first holds the lock until the other has asked for it: four epochs take long enough.
    both = [
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    ended = sorted(
        ((process.communicate(timeout=300), process.returncode) for process in both),
        key=lambda one: one[1],
    )
    assert [code for _, code in ended] == [0, 1], ended
    assert 'run "run" is being trained by another process' in ended[1][0][1]
    with Path("run/metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]
