"""What a stage has of its own ends with it; the result says what was trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import train_runs as tiny
import train_toys as toys
from torch import nn

from binarize.cli.app import main
from binarize.recipe import dump
from binarize.training import train
from binarize.training.idle import idle_parameters
from binarize.training.stages import RunningStage
from binarize.training.training_state import TrainingState

BINARY = {"estimator": "ab-tanh"}
SHORT = {"steps": 2, "optimizer": {"name": "momentum", "lr": 0.05}}


def test_accelerate_knows_the_optimiser_and_the_parameters_of_this_stage_alone(
    tmp_path, monkeypatch
):
    """It unscales the gradients of fp16 once for every optimiser that it knows."""
    seen, original = [], RunningStage.step

    def step(self, *args):
        wrapped = {id(value) for value in self.objective.parameters()}
        own = {id(value) for value in self.model.parameters()}
        seen.append(
            (len(self.accelerator._optimizers), len(self.accelerator._models), wrapped == own)
        )
        return original(self, *args)

    monkeypatch.setattr(RunningStage, "step", step)
    stages = [{**SHORT, "estimator": name} for name in ("ste", "dsq", "ste")]
    toys.train(toys.recipe(*stages, binarize=BINARY), tmp_path)
    assert seen == [(1, 1, True)] * 6


def test_idle_parameters_are_found_and_nothing_is_changed():
    model = toys.network()
    model[5].never = nn.Linear(3, 3)
    model[2].weight_binarizer.enabled = True
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images = torch.randn(2, 3, 6, 6)
    assert idle_parameters(model, images) == ["5.never.weight", "5.never.bias"]
    assert toys.same(model.state_dict(), before)
    assert all(value.grad is None for value in model.parameters())


class TestEarlyStop:
    @pytest.fixture
    def run(self, tmp_path, monkeypatch) -> Path:
        monkeypatch.chdir(tmp_path)
        still = {"name": "sgd", "lr": 1e-12}
        stage = {"epochs": 20, "optimizer": still, "early_stop": {"patience": 2}}
        chosen = tiny.recipe(stages=[stage], model={"name": tiny.MODEL}, data={"holdout": 200})
        Path("tiny.yaml").write_text(dump(chosen))
        return tmp_path / "run"

    def test_result_line_and_json_say_the_epochs_that_were_trained(self, run, capsys):
        assert train("tiny.yaml", out=run).epochs == 3
        assert main(["train", "--resume", str(run), "--json"]) == 0
        said = capsys.readouterr()
        assert json.loads(said.out)["epochs"] == 3
        assert "after 3 epochs" in said.err


def test_a_checkpoint_without_the_count_is_read():
    old = vars(TrainingState(epochs=20, per_epoch=5, top1=50.0))
    del old["trained"]
    assert TrainingState.of(old, Path("last")).trained == 20
