from __future__ import annotations

import pytest
import torch
import train_toys as toys
from torch import nn
from train_toys import KillAt, Killed, last, rows

from binarize.errors import TrainingError
from binarize.layers import binary_weights
from binarize.run.tables import METRICS, Table
from binarize.training import checkpoint, engine, stages

COLUMNS = METRICS.columns

EMA = {"epochs": 2, "optimizer": {"name": "momentum", "lr": 0.05}, "ema": {"decay": 0.8}}
CUT = {
    "steps": 8,
    "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.01},
    "schedule": {"name": "cosine", "warmup_epochs": 0.5},
    "mixup": 0.2,
    "clip_grad": 1.0,
}


def test_it_learns_and_writes_a_line_per_epoch(tmp_path):
    stage = {"epochs": 6, "optimizer": {"name": "momentum", "lr": 0.1}}
    state = toys.train(toys.recipe(stage), tmp_path)
    lines = rows(tmp_path)
    assert list(lines[0]) == list(COLUMNS)
    assert [line["epoch"] for line in lines] == ["1", "2", "3", "4", "5", "6"]
    assert [line["step"] for line in lines] == ["6", "12", "18", "24", "30", "36"]
    assert float(lines[-1]["train_loss"]) < float(lines[0]["train_loss"])
    assert state.top1 > 50  # chance is 25
    assert float(lines[-1]["test_top1"]) == pytest.approx(state.top1, abs=1e-3)


def test_the_weights_kept_are_the_ones_that_were_scored(tmp_path):
    state = toys.train(toys.recipe(EMA), tmp_path)
    model = toys.network().eval()
    model.load_state_dict(last(tmp_path))
    pixels, labels = toys.images().tensors
    with torch.no_grad():
        right = (model(pixels).argmax(1) == labels).float().mean()
    assert 100 * right.item() == pytest.approx(state.top1)


def test_best_is_the_epoch_with_the_highest_top1(tmp_path):
    chosen = toys.recipe({"epochs": 5, "optimizer": {"name": "momentum", "lr": 0.3}})
    state = toys.train(chosen, tmp_path)
    scores = [float(line["test_top1"]) for line in rows(tmp_path)]
    assert state.best_top1 == pytest.approx(max(scores), abs=1e-3)
    assert state.best_epoch == scores.index(max(scores)) + 1
    assert (tmp_path / "best" / "model.safetensors").is_file()


def test_progress_runs_from_0_to_1_over_all_stages(tmp_path, monkeypatch):
    seen = []
    original = stages.RunningStage.step

    def step(self, *args):
        seen.extend({binarizer.progress for *_, binarizer in binary_weights(self.model)})
        return original(self, *args)

    monkeypatch.setattr(stages.RunningStage, "step", step)
    toys.train(toys.recipe(toys.STAGE, CUT), tmp_path)
    assert seen == pytest.approx([number / 19 for number in range(20)])


def test_a_single_step_is_at_progress_0(tmp_path):
    toys.train(toys.recipe({"steps": 1, "optimizer": {"name": "sgd", "lr": 0.1}}), tmp_path)
    assert rows(tmp_path)[0]["progress"] == "0.0"


@pytest.mark.parametrize("event", ["step", "done"])
@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_killed_and_resumed_is_never_interrupted_to_the_bit(tmp_path, epoch, event, precision):
    chosen = toys.recipe(EMA, CUT, engine={"precision": precision})
    toys.train(chosen, tmp_path / "whole")
    with pytest.raises(Killed):
        toys.train(chosen, tmp_path / "cut", KillAt(epoch, event))
    state = toys.train(chosen, tmp_path / "cut")
    assert state.epochs == 4
    assert toys.same(last(tmp_path / "cut"), last(tmp_path / "whole"))
    fixed = [column for column in COLUMNS if column not in ("seconds", "images_per_s")]
    for cut, whole in zip(rows(tmp_path / "cut"), rows(tmp_path / "whole"), strict=True):
        assert [cut[column] for column in fixed] == [whole[column] for column in fixed]


@pytest.mark.parametrize(
    ("place", "name", "at"),
    [  # each epoch adds to metrics.csv, then to indicators.csv
        (Table, "append", 5),
        (Table, "append", 6),
        (engine, "save_weights", 1),
        (checkpoint, "save_weights", 1),
        (checkpoint, "save", 2),
    ],
)
def test_killed_between_two_files_of_an_epoch(tmp_path, monkeypatch, place, name, at):
    chosen = toys.recipe({"epochs": 3, "optimizer": {"name": "momentum", "lr": 0.05}})
    toys.train(chosen, tmp_path / "whole")
    original, calls = getattr(place, name), []

    def killed(path, *args, **kwargs):
        calls.append(path)
        original(path, *args, **kwargs)
        if len(calls) == at:
            raise Killed

    monkeypatch.setattr(place, name, killed)
    with pytest.raises(Killed):
        toys.train(chosen, tmp_path / "cut")
    monkeypatch.undo()
    checkpoint.recover(tmp_path / "cut")
    toys.train(chosen, tmp_path / "cut")
    assert toys.same(last(tmp_path / "cut"), last(tmp_path / "whole"))
    assert [line["epoch"] for line in rows(tmp_path / "cut")] == ["1", "2", "3"]


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(tmp_path):
    good = {"epochs": 1, "optimizer": {"name": "sgd", "lr": 0.01}}
    wild = {"epochs": 2, "optimizer": {"name": "sgd", "lr": 1e9, "weight_decay": 1e9}}
    with pytest.raises(TrainingError, match="no longer a number in epoch 2") as caught:
        toys.train(toys.recipe(good, wild), tmp_path)
    assert "learning rate" in caught.value.hint
    assert checkpoint.load(tmp_path / "last").state["epochs"] == 1
    assert [line["epoch"] for line in rows(tmp_path)] == ["1"]


def test_the_next_stage_goes_on_from_the_averaged_weights(tmp_path):
    still = {"steps": 1, "optimizer": {"name": "sgd", "lr": 1e-30}}
    toys.train(toys.recipe(EMA), tmp_path / "one", model=toys.network(binary=False))
    toys.train(toys.recipe(EMA, still), tmp_path / "two", model=toys.network(binary=False))
    one, two = last(tmp_path / "one"), last(tmp_path / "two")
    parameters = [name for name, _ in toys.network(binary=False).named_parameters()]
    assert all(torch.equal(one[name], two[name]) for name in parameters)


def test_a_batch_in_parts_makes_the_same_step(tmp_path):
    def weights(parts):
        model = nn.Sequential(nn.Flatten(), nn.Linear(108, toys.CLASSES))
        nn.init.constant_(model[1].weight, 0.01)
        nn.init.zeros_(model[1].bias)
        chosen = toys.recipe(toys.STAGE, engine={"accumulate": parts})
        toys.train(chosen, tmp_path / str(parts), model=model)
        return last(tmp_path / str(parts))["1.weight"]

    torch.testing.assert_close(weights(3), weights(1))


def test_resuming_with_other_data_is_refused(tmp_path):
    chosen = toys.recipe({"epochs": 2, "optimizer": {"name": "sgd", "lr": 0.01}})
    with pytest.raises(Killed):
        toys.train(chosen, tmp_path, KillAt(2, "step"))
    other = chosen.model_copy(update={"data": chosen.data.model_copy(update={"batch_size": 8})})
    with pytest.raises(TrainingError, match="an epoch was 6 steps and is 12 now"):
        toys.train(other, tmp_path)


def test_a_full_disk_stops_it_and_the_run_goes_on_later(tmp_path, monkeypatch):
    chosen = toys.recipe(toys.STAGE)
    toys.train(chosen, tmp_path / "whole")
    original = checkpoint.save_file

    def full(tensors, path, *args):
        if "cut" in str(path) and (tmp_path / "cut" / "last").exists():
            raise OSError(28, "No space left on device")
        original(tensors, path, *args)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        toys.train(chosen, tmp_path / "cut")
    monkeypatch.undo()
    assert checkpoint.load(tmp_path / "cut" / "last").state["epochs"] == 1
    toys.train(chosen, tmp_path / "cut")
    assert toys.same(last(tmp_path / "cut"), last(tmp_path / "whole"))


def test_fp16_needs_a_device_that_has_it(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(TrainingError, match="does not train in fp16"):
        toys.train(toys.recipe(engine={"precision": "fp16"}), tmp_path)


def test_mixup_wants_pairs(tmp_path):
    chosen = toys.recipe({**toys.STAGE, "mixup": 0.2}, data={"batch_size": 15})
    with pytest.raises(TrainingError, match="need an even batch"):
        toys.train(chosen, tmp_path)
