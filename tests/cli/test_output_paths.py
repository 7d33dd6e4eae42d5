"""A place that cannot be written to is refused before the work, and before torch is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import binarize
from binarize import api, rewrite
from binarize.errors import BinarizeError, ExportError, RunError
from binarize.estimators import plot
from binarize.training import train

CALLS = [
    ["convert", "cifar_resnet20", "-o", "taken"],
    ["convert", "cifar_resnet20", "-o", "taken/file/run"],
    ["train", "cifar_resnet20", "--recipe", "digits", "-o", "taken"],
    ["export", "a", "--onnx", "no/such/dir/x.onnx"],
    ["export", "a", "--onnx", "taken"],
    ["report", "a", "-o", "no/page.html"],
    ["report", "a", "-o", "taken"],
    ["predict", "a", "b.png", "--html", "no/page.html"],
    ["predict", "a", "b.png", "--html", "taken/file"],
    ["estimators", "plot", "-o", "no/plot.svg"],
    ["compare", "cifar_resnet20", "--recipe", "digits", "-o", "taken/file"],
    ["compare", "cifar_resnet20", "--recipe", "digits", "-o", "taken/file/sweep"],
    ["sensitivity", "sensed", "--calib-data", "images"],
    ["recipes", "schema", "-o", "no/schema.json"],
    ["recipes", "schema", "-o", "taken"],
    ["recipes", "cp", "digits", "no/mine.yaml"],
]
SCRIPT = f"""
import sys
from binarize.cli import app
for arguments in {CALLS!r}:
    print(" ".join(arguments), app.main(arguments), "torch" in sys.modules)
"""


def test_refused_before_torch_is_imported(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/file").touch()
    (tmp_path / "sensed/sensitivity.json").mkdir(parents=True)
    (tmp_path / "sensed/run.json").touch()
    before = set(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{' '.join(arguments)} 1 False" for arguments in CALLS]
    starts = [line.partition(": ")[0] for line in done.stderr.splitlines()]
    assert starts == ["error", "hint"] * len(CALLS)
    assert set(tmp_path.rglob("*")) == before


@pytest.fixture
def taken(folder):
    (folder / "taken").mkdir()
    (folder / "taken/file").touch()
    return folder / "taken"


def test_python_callers_are_refused_before_the_work_too(taken, monkeypatch):
    monkeypatch.setattr(api, "make", lambda *_, **__: pytest.fail("work was begun"))
    with pytest.raises(RunError, match="taken"):
        api.convert_to_run("cifar_resnet20", rewrite.Options(), out=taken)
    with pytest.raises(RunError, match="taken"):
        train("no-such-recipe", out=taken)
    with pytest.raises(ExportError, match="no"):
        binarize.export("no-such-run", "no/x.onnx")
    with pytest.raises(RunError, match="not a directory"):
        binarize.compare("digits", out=taken / "file/sweep")
    with pytest.raises(BinarizeError, match="no"):
        binarize.report("no-such-run", "no/page.html")
    with pytest.raises(BinarizeError, match="taken"):
        plot.plot([], [0.0], taken)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_rights(folder):
    (folder / "closed").mkdir(mode=0o500)
    with pytest.raises(RunError, match="writable"):
        api.convert_to_run("cifar_resnet20", rewrite.Options(), out=Path("closed/run"))


def test_an_empty_directory_is_free(folder):
    (folder / "empty").mkdir()
    from binarize import outputs

    outputs.check_directory("empty")
    outputs.check_directory("new/deep/run")
    outputs.check_file("empty/file")
