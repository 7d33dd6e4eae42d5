"""A training that dies before or after any file-system step is resumed to the same end."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import train_toys as toys
from crash_points import CrashPoints, different, hidden, visible

from binarize.rewrite import Options, SourceOptions, convert_float, open_float
from binarize.rewrite.convert import replay
from binarize.run import is_run
from binarize.training import train
from binarize.training.prepare import Prepared

# The packages have functions of these names.
resume, start = (import_module(f"binarize.training.{name}") for name in ("resume", "start"))
build = import_module("binarize.rewrite.build")

TIMED = ("seconds", "images_per_s")
STAGES = [{"steps": 2, "optimizer": {"name": "momentum", "lr": 0.05}, "ema": {"decay": 0.5}}]


@pytest.fixture
def small(monkeypatch):
    """`train` on the network and the images of `train_toys`; all else is as ever."""

    def prepare(*_):
        float_model = open_float(toys.network(binary=False), SourceOptions(img_size=6))
        converted = convert_float(float_model, Options(estimator="ste", scale="channel"))
        classes = [str(number) for number in range(toys.CLASSES)]
        converted = replace(converted, info=converted.info.replace(classes=classes))
        return Prepared(converted, None, False, "")

    def build_info(info):
        model = toys.network(binary=False)
        return replay(model, info.conversion) if info.conversion else model

    def trainer(training, _, progress):
        return toys.trainer(training.recipe, progress)

    monkeypatch.setattr(start, "_with_labels", lambda recipe, _: (recipe, []))
    monkeypatch.setattr(start, "prepare", prepare)
    monkeypatch.setattr(build, "build_info", build_info)
    monkeypatch.setattr(resume, "_trainer", trainer)


def recipe(epochs: int, **sections):
    stage = {**STAGES[0], "steps": None, "epochs": epochs}
    model = {"name": "cifar_resnet20", "pretrained": False, "kwargs": {"blocks": 1}}
    binarize = {"estimator": "ste"}
    engine = {"threads": 1}
    sections = {"model": model, "binarize": binarize, "engine": engine, **sections}
    return toys.recipe(stage, data={"img_size": 6}, **sections)


def untimed(run: Path) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k not in TIMED} for row in toys.rows(run)]


def check_end(run: Path, whole: Path) -> None:
    assert visible(run).keys() == visible(whole).keys()
    assert hidden(run) == []
    assert toys.same(toys.last(run), toys.last(whole))
    assert untimed(run) == untimed(whole)
    for name in ("best/model.safetensors", "indicators.csv"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()


def check_all(points: CrashPoints, whole: Path, chosen) -> None:
    """Each state is resumed, or begun again where there is no run yet, and ends as `whole` did."""
    assert hidden(whole.parent) == []
    assert not (whole / "initial").exists()
    for state in different(points.states):
        run = state / "run"
        if run.exists():
            assert is_run(run)
            train(resume=run)
        else:
            train(chosen, out=run)
        assert [path.name for path in state.iterdir()] == ["run"]
        check_end(run, whole)


@pytest.mark.usefixtures("small")
def test_a_training_with_its_baseline(tmp_path):
    whole, chosen = tmp_path / "runs/run", recipe(1, twin=True)
    whole.parent.mkdir()
    points = CrashPoints(whole.parent, tmp_path / "copies")
    with points.recorded():
        train(chosen, out=whole)
    assert points.steps.count("replace") > 15
    check_all(points, whole, chosen)


@pytest.mark.usefixtures("small")
def test_the_second_epoch(tmp_path):
    """Each file takes the place of one that is there."""
    whole, chosen = tmp_path / "runs/run", recipe(2)
    points = CrashPoints(whole.parent, tmp_path / "copies")
    with pytest.raises(toys.Killed):
        train(chosen, out=whole, progress=toys.KillAt(1, "done"))
    with points.recorded():
        train(resume=whole)
    check_all(points, whole, chosen)


@pytest.mark.usefixtures("small")
def test_resuming_a_run_that_is_finished(tmp_path):
    """Killed after the last checkpoint, and while what the training began with is removed."""
    whole = tmp_path / "runs/run"
    points = CrashPoints(whole.parent, tmp_path / "copies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resume, "_ended", lambda *_: None)
        train(recipe(1), out=whole)
    assert (whole / "initial").exists()
    with points.recorded():
        train(resume=whole)
    for state in points.states:
        train(resume=state / "run")
        check_end(state / "run", whole)
        assert not (state / "run/initial").exists()
