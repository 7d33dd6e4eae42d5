"""Runs and ONNX files that 0.1.0 wrote: the same networks, the same numbers, for every command."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

import binarize
from binarize.cli.app import main
from binarize.recipe import load as load_recipe
from binarize.run import open_run
from binarize.runtime import metadata

FIXTURE = Path(__file__).parent / "v0.1.0"
EXPECTED = json.loads((FIXTURE / "expected.json").read_text())
IMAGES = torch.linspace(-2, 2, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)
RUNS = ("converted", "trained", "trained/best", "trained/twin")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A copy that may be written into."""
    copied = tmp_path / "v0.1.0"
    shutil.copytree(FIXTURE, copied)
    return copied


@pytest.mark.parametrize("name", RUNS)
def test_a_run_computes_the_same_logits(name: str) -> None:
    with torch.no_grad():
        logits = binarize.load(FIXTURE / name)(IMAGES)

    torch.testing.assert_close(logits, torch.tensor(EXPECTED[name]["logits"]), rtol=1e-5, atol=1e-6)


def test_runs_and_files_score_the_same() -> None:
    targets = [str(FIXTURE / "trained"), str(FIXTURE / "trained/twin")]

    found = binarize.evaluate(targets, workers=0)

    assert [one.top1 for one in found] == [one["top1"] for one in EXPECTED["evaluate"]]
    for one, before in zip(found, EXPECTED["evaluate"], strict=True):
        if before["max_abs_diff"] is not None:
            assert one.max_abs_diff is not None
            assert one.max_abs_diff < 1e-4


def test_records_without_shortcut_pad_at_the_end() -> None:
    for name in ("converted", "trained", "interrupted", "trained/twin"):
        assert open_run(FIXTURE / name).info.model.kwargs["shortcut"] == "end"
    for name in ("converted", "trained", "trained/twin"):
        assert metadata(FIXTURE / name / "model.onnx").model.kwargs["shortcut"] == "end"


def test_force_is_read_as_include() -> None:
    conversion = open_run(FIXTURE / "converted").info.conversion
    recipe = load_recipe(FIXTURE / "trained" / "recipe.resolved.yaml")

    assert conversion is not None
    assert conversion.include == ["conv1"]
    assert recipe.binarize is not None
    assert list(recipe.binarize.include) == ["conv1"]


@pytest.mark.parametrize("name", ["converted", "trained/twin"])
def test_a_run_is_exported_again_to_the_same_function(name: str, runs: Path) -> None:
    result = binarize.export(runs / name, runs / "again.onnx")

    assert result.parity != "quantised"
    assert metadata(runs / "again.onnx").model == metadata(runs / name / "model.onnx").model


def test_a_run_is_converted_again() -> None:
    with torch.no_grad():
        logits = binarize.convert(FIXTURE / "trained", estimator="ste", include=["conv1"]).eval()(
            IMAGES
        )

    # Its latent weights are those of the run, and all estimators have the same forward.
    expected = torch.tensor(EXPECTED["trained"]["logits"])
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)


def test_commands_take_them(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(runs / "converted"), "--rounds", "1"]) == 0
    for name in ("converted", "trained"):
        assert main(["summary", str(runs / name)]) == 0
        assert main(["report", str(runs / name)]) == 0
    assert "timm/cifar_resnet20" in capsys.readouterr().out


def test_an_interrupted_training_is_resumed_to_its_end(runs: Path) -> None:
    run = runs / "interrupted"
    before = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))

    assert main(["train", "--resume", str(run)]) == 0

    after = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    assert [{**row, **old} for row, old in zip(after, before, strict=False)] == after[: len(before)]
    assert [row["epoch"] for row in after] == ["1", "2", "3", "4"]
    assert not (run / "initial").exists()
