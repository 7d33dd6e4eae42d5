"""A small run, trained for two steps, and its ONNX file: made once, through the commands themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typed import run

SMALLER = ["--model-arg", "blocks=1"]
"""Of a `cifar_resnet20`: one block a stage and not three. It exports in half the time."""
TWO_STEPS = ["--set", "stages.0.epochs=null", "--set", "stages.0.steps=2", "--set", "twin=false"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A small `cifar_resnet20` on digits, exported to model.onnx. Tests read it, none changes it."""
    home, before = tmp_path_factory.mktemp("trained"), Path.cwd()
    os.chdir(home)
    try:
        net = ["cifar_resnet20", "--no-pretrained", *SMALLER]
        assert run("convert", *net, "-o", "runs/converted") == 0
        recipe = ["--recipe", "digits", *TWO_STEPS]
        assert run("train", "runs/converted", *recipe, "-o", "runs/trained") == 0
        assert run("export", "runs/trained", "--onnx") == 0
    finally:
        os.chdir(before)
    return home / "runs/trained"


@pytest.fixture(autouse=True)
def no_terminal_width(monkeypatch) -> None:
    """Tables as wide as they like: some of what runs in this process sets COLUMNS for its own output."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def short_work(request, monkeypatch) -> None:
    """Work that takes a busy machine more than ten seconds says as little as it does elsewhere."""
    if request.module.__name__ != "test_command_progress":
        monkeypatch.setattr("binarize.cli.progress.FIRST", 600.0)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
