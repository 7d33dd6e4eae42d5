"""Two trainings of one run at once: the second one is refused, and touches nothing."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import train_runs as tiny

from binarize.errors import RunBusyError
from binarize.recipe import dump
from binarize.run.lock import held
from binarize.training import train


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
        train(tiny.recipe(2), tiny.MODEL, out=run, progress=tiny.KillIn("float model", 2))
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


@pytest.mark.slow
def test_two_commands_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(dump(tiny.recipe(4, model={"name": tiny.MODEL})))
    with pytest.raises(tiny.Killed):
        train("tiny.yaml", out="run", progress=tiny.KillIn("float model", 1))
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
