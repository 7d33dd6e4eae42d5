"""Commands that die before or after any file-system step: nothing half-written, and nothing left behind."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from crash_points import CrashPoints, different, hidden, visible
from torch import nn
from typed import run

import binarize
from binarize import api, converting
from binarize.exporting import export
from binarize.reporting import run_page
from binarize.rewrite import Converted, Options, SourceOptions
from binarize.run import newest_run


def crashes(folder: Path, act: Callable[[], object]) -> CrashPoints:
    """Of `act`, which writes in the current directory."""
    points = CrashPoints(Path(), folder)
    with points.recorded():
        act()
    assert hidden(Path()) == []
    return points


def check_files(points: CrashPoints) -> None:
    """Every file that can be seen is as it was before the command or as it is after it."""
    old, new = visible(points.states[0]), visible(points.states[-1])
    for state in points.states:
        for name, content in visible(state).items():
            assert content in (old.get(name, content), new.get(name)), f"{state}: {name}"
            assert name in old | new


@pytest.fixture
def working(tmp_path, monkeypatch) -> Path:
    """The current directory; copies of it are to be made beside it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "copies"


@pytest.fixture
def converted_once(monkeypatch) -> None:
    """The conversion is the same each time: what is tried here is how it is written."""
    monkeypatch.setattr(api, "make", lambda *_, **__: conversion())


@functools.cache
def conversion(make=converting.make) -> Converted:
    return make("cifar_resnet20", Options(), SourceOptions(pretrained=False))


CONVERT = ("convert", "cifar_resnet20", "--no-pretrained")


@pytest.mark.usefixtures("converted_once")
@pytest.mark.parametrize("out", [[], ["-o", "runs/mine"]], ids=["default", "named"])
def test_convert(working, monkeypatch, out):
    Path("runs").mkdir()
    points = crashes(working, lambda: run(*CONVERT, *out))
    (new,) = Path("runs").iterdir()
    names = {"run.json", "summary.json", "env.json", "model.safetensors"}
    for state in points.states:
        there = state / "runs" / new.name
        assert not there.exists() or {path.name for path in there.iterdir()} == names
    check_files(points)
    for state in different(points.states):
        monkeypatch.chdir(state)
        taken = (Path("runs") / new.name).exists()
        assert run(*CONVERT, *out) == (1 if taken and out else 0)
        assert hidden(Path()) == []
        assert newest_run().path.name in (new.name, f"{new.name}-2")


def network() -> nn.Module:
    torch.manual_seed(3)
    layers = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return binarize.convert(nn.Sequential(*layers, nn.Linear(4, 2)), img_size=8)


def test_export(working, monkeypatch):
    model = network()
    Path("m.onnx").write_bytes(b"the old file")
    points = crashes(working, lambda: export(model, "m.onnx", input_size=8))
    check_files(points)
    left = different(points.states)
    assert [(Path(state / "m.onnx").read_bytes()[:3], hidden(state) != []) for state in left] == [
        (b"the", False),
        (b"the", True),
        (Path("m.onnx").read_bytes()[:3], False),
    ]
    monkeypatch.chdir(left[1])
    export(model, "m.onnx", input_size=8)
    assert visible(Path()).keys() == {"m.onnx"}
    assert hidden(Path()) == []


@pytest.mark.usefixtures("converted_once")
def test_report(working, monkeypatch):
    monkeypatch.setattr(run_page, "draw", lambda *_: "<svg/>")
    monkeypatch.setattr(run_page, "estimator_plots", lambda _: [])
    assert run(*CONVERT, "-o", "r") == 0
    points = crashes(working, lambda: run("report", "r"))
    check_files(points)
    whole = visible(Path())
    assert {"r/report.html", "r/README.md"} <= whole.keys()
    for state in different(points.states):
        monkeypatch.chdir(state)
        assert run("report", "r") == 0
        assert (visible(Path()), hidden(Path())) == (whole, [])


@pytest.mark.parametrize(
    "command",
    [
        ("recipes", "cp", "digits", "mine.yaml"),
        ("recipes", "schema", "-o", "schema.json"),
        ("estimators", "plot", "ste", "-o", "ste.svg"),
    ],
    ids=" ".join,
)
def test_one_file(working, monkeypatch, command):
    points = crashes(working, lambda: run(*command))
    check_files(points)
    for state in different(points.states):
        monkeypatch.chdir(state)
        taken = command[1] == "cp" and Path("mine.yaml").exists()
        assert run(*command) == (1 if taken else 0)
        assert visible(Path()).keys() == visible(points.folder.absolute()).keys()
        assert hidden(Path()) == []
