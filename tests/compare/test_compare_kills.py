"""A comparison that dies before or after any file-system step: typed again, it ends as it would have."""

from __future__ import annotations

from pathlib import Path

import compare_sweeps as sweeps
import pytest
from crash_points import CrashPoints, different, hidden, visible

from binarize.comparing import compare
from binarize.comparing import trial as trials
from binarize.errors import DataError
from binarize.recipe import dump, load
from binarize.run import new_directory, write_json, write_text
from binarize.training import TrainResult

STARTED = ("run.json", "recipe.resolved.yaml")


def train(recipe=None, target=None, *, data_dir=None, out=None, resume=None, progress=None):
    """Stands for a training, whose own crash points are tried in tests/train."""
    path = out or resume
    if out is not None:
        with new_directory(out) as part:
            write_text(part / "recipe.resolved.yaml", dump(recipe))
            write_json(part / "run.json", {})
    assert all((path / name).stat().st_size for name in STARTED)
    recipe = load(path / "recipe.resolved.yaml")
    top1 = 90.0 if recipe.binarize.keep == ["*"] else 80.0
    if not (path / "metrics.csv").exists():
        sweeps.write_metrics(path, sweeps.rows({"test_top1": [top1], "seconds": [2]}))
    return TrainResult(str(path), 1, top1, 99.0, top1, 1, None, 2.0)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    sweeps.recipe_file(tmp_path)
    monkeypatch.setattr(trials, "train", train)
    monkeypatch.setattr("binarize.comparing.comparison.can_draw", lambda: False)


def go():
    return compare("../tiny.yaml", "float,ste", 1, out="sweep")


def check_all(points, monkeypatch, tmp_path, whole, table) -> None:
    sweeps.recipe_file(tmp_path / "copies")  # where ../tiny.yaml is then
    for state in different(points.states):
        monkeypatch.chdir(state)
        assert go().lines == table
        names = visible(Path()).keys()
        assert (names, hidden(Path())) == (whole, [])


def test_a_comparison(tmp_path, monkeypatch):
    points = CrashPoints(Path(), tmp_path / "copies")
    with points.recorded():
        table = go().lines
    whole = visible(Path()).keys()
    assert len(different(points.states)) > 20
    check_all(points, monkeypatch, tmp_path, whole, table)


def test_one_that_cannot_begin_and_is_removed(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise DataError("there are no images", "look")

    points = CrashPoints(Path(), tmp_path / "copies")
    monkeypatch.setattr(trials, "train", refuse)
    with points.recorded(), pytest.raises(DataError):
        go()
    monkeypatch.setattr(trials, "train", train)
    assert list(Path().iterdir()) == []
    table = go().lines
    check_all(points, monkeypatch, tmp_path, visible(Path()).keys(), table)
