"""Death before or after any file-system step of a checkpoint: what is found then is whole, old or new."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import test_train_checkpoint as plain
from crash_points import CrashPoints

from binarize.training import checkpoint


def make(folder: Path, number: float = 1.0) -> Path:
    checkpoint.save(folder / "last", plain.example(number))
    return folder / "last"


def crashes(folder: Path, act: Callable[[Path], None]) -> CrashPoints:
    """Of `act`, given `last`, in a directory with a checkpoint."""
    run = folder / "run"
    run.mkdir(exist_ok=True)
    points = CrashPoints(run, folder / "copies")
    with points.recorded():
        act(run / "last")
    return points


def check(last: Path, allowed: set[float]) -> None:
    checkpoint.recover(last.parent)
    assert [path.name for path in last.parent.iterdir()] == ["last"]
    assert plain.number_of(last) in allowed
    checkpoint.save(last, plain.example(3.0))
    assert plain.number_of(last) == 3.0


def test_a_save(tmp_path: Path) -> None:
    make(tmp_path / "run")
    points = crashes(tmp_path, lambda last: checkpoint.save(last, plain.example(2.0)))
    assert points.steps.count("replace") == 5  # three files and two directories
    assert len(points.states) > 20
    for state in points.states:
        check(state / "last", {1.0, 2.0})


def test_a_recovery(tmp_path: Path) -> None:
    """Killed while it undoes what an earlier kill left: at the worst moment, between the two renames."""
    last = make(tmp_path / "run")
    shutil.copytree(last, last.with_name(".last.part"))
    last.rename(last.with_name(".last.old"))
    points = crashes(tmp_path, lambda last: checkpoint.recover(last.parent))
    assert points.steps.count("unlink") == 3
    for state in points.states:
        check(state / "last", {1.0})


def test_the_first_checkpoint_of_a_run(tmp_path: Path) -> None:
    points = crashes(tmp_path, lambda last: checkpoint.save(last, plain.example(1.0)))
    for state in points.states:
        checkpoint.recover(state)
        if (state / "last").exists():
            check(state / "last", {1.0})
        else:
            assert list(state.iterdir()) == []
