"""Training with binary inputs: what is binary in which stage, calibration, sign imbalance, weight decay."""

from __future__ import annotations

import json

import pytest
import torch
import train_runs as tiny
import train_toys as toys
from train_toys import KillAt, Killed, last, rows

from binarize import estimators
from binarize.errors import TrainingError
from binarize.layers import (
    SignBinarizer,
    StepBinarizer,
    WeightBinarizer,
    added_modules,
    binarize_weight,
    binary_inputs,
    binary_weights,
    scale,
)
from binarize.progress import Progress
from binarize.recipe.schema import Optimizer
from binarize.rewrite import build
from binarize.training import accuracy, calibration, engine, stages
from binarize.training.accuracy import Scores
from binarize.training.optim import make_optimizer

OPTIMIZER = {"name": "momentum", "lr": 0.05}


def stage(binary, epochs=1, **more):
    return {"epochs": epochs, "binary": binary, "optimizer": OPTIMIZER, **more}


def network(kind=StepBinarizer):
    model = toys.network(binary=False)
    binarizer = WeightBinarizer(estimators.get("ab-tanh"), scale.get("channel"))
    binarize_weight(model[2], "weight", binarizer, kind(8, 1))
    return model


class Heard(Progress):
    def __init__(self):
        self.said, self.warned = [], []

    def say(self, text):
        self.said.append(text)

    def warn(self, text, hint=""):
        self.warned.append(text)


@pytest.fixture
def steps(monkeypatch):
    """What is enabled, and the estimators' progress, at every optimiser step: [(model, EMA copy, p)]."""
    seen = []
    original = stages.RunningStage.step

    def enabled(model):
        return tuple(sorted({a.role for a in added_modules(model) if a.enabled}))

    def step(self, *args):
        (progress,) = {binarizer.progress for *_, binarizer in binary_weights(self.model)}
        seen.append((enabled(self.model), self.ema and enabled(self.ema.module), progress))
        return original(self, *args)

    monkeypatch.setattr(stages.RunningStage, "step", step)
    return seen


def test_each_stage_makes_binary_what_it_says_its_average_too(tmp_path, steps):
    chosen = toys.recipe(
        stage("none"), stage("activations", ema={"decay": 0.8}), stage("weights"), stage("all")
    )
    toys.train(chosen, tmp_path, model=network())
    assert [steps[n][0] for n in (0, 6, 12, 18)] == [
        (),
        ("inputs",),
        ("weights",),
        ("inputs", "weights"),
    ]
    assert steps[6][1] == ("inputs",)


def test_progress_counts_the_steps_with_binary_weights_only(tmp_path, steps):
    toys.train(toys.recipe(stage("activations"), stage("all", 2)), tmp_path, model=network())
    assert [p for *_, p in steps] == pytest.approx([0.0] * 6 + [n / 11 for n in range(12)])
    assert [row["progress"] for row in rows(tmp_path)] == ["0.0", "0.45455", "1.0"]


def test_nothing_binary_is_the_float_network(tmp_path):
    chosen = toys.recipe(stage("none"), stage("all"))
    toys.train(chosen, tmp_path / "binary", model=network())
    toys.train(chosen, tmp_path / "float", model=toys.network(binary=False))
    first = ("train_loss", "test_loss", "test_top1")
    binary, floats = rows(tmp_path / "binary"), rows(tmp_path / "float")
    assert [binary[0][key] for key in first] == [floats[0][key] for key in first]
    assert [binary[1][key] for key in first] != [floats[1][key] for key in first]


def test_only_an_epoch_with_all_binary_can_be_the_best(tmp_path, monkeypatch):
    tops = iter([90.0, 80.0, 20.0, 30.0, 25.0])
    original = accuracy.score

    def score(*args):
        scores = original(*args)
        scores.top1 = next(tops)
        return scores

    monkeypatch.setattr(engine, "score", score)
    state = toys.train(
        toys.recipe(stage("activations", 2), stage("all", 3)), tmp_path, model=network()
    )
    assert (state.best_top1, state.best_epoch) == (30.0, 4)


def test_a_float_model_has_its_best_epoch_in_any_stage(tmp_path):
    chosen = toys.recipe(stage("activations"), stage("all"))
    toys.train(chosen, tmp_path, model=toys.network(binary=False))
    state = toys.trainer(chosen).train(
        engine.Phase("float baseline", tmp_path, toys.network(binary=False))
    )
    scores = [float(row["test_top1"]) for row in rows(tmp_path)]
    assert state.best_top1 == pytest.approx(max(scores), abs=1e-3)
    assert state.best_epoch == 1 + scores.index(max(scores))


class TestCalibration:
    @pytest.fixture
    def calls(self, monkeypatch):
        """Training images of each calibration, and the batches of each epoch's steps."""
        seen = []
        original = calibration.calibrate

        def calibrate(model, batches):
            batches = list(batches)
            seen.append(torch.cat(batches))
            assert model.training
            return original(model, batches)

        monkeypatch.setattr(calibration, "calibrate", calibrate)
        return seen

    def test_once_on_the_images_of_the_first_steps(self, tmp_path, calls, monkeypatch):
        fed = []
        original = stages.RunningStage.step

        def step(self, update, images, labels, on_gradients=None):
            fed.append(images)
            return original(self, update, images, labels, on_gradients)

        monkeypatch.setattr(stages.RunningStage, "step", step)
        heard = Heard()
        chosen = toys.recipe(stage("none"), stage("activations", 2), stage("all"))
        toys.train(chosen, tmp_path, heard, network())
        assert len(calls) == 1
        assert torch.equal(calls[0], torch.cat(fed[6:10]))
        assert heard.said == [
            "binarized: 4 epochs",
            "binary inputs calibrated on 64 training images",
        ]

    def test_it_sets_the_thresholds_and_leaves_the_norms(self, tmp_path, monkeypatch):
        seen = []
        original = stages.RunningStage.__init__

        def opened(self, recipe, index, model, *rest):
            seen.append({k: v.clone() for k, v in model.state_dict().items()})
            original(self, recipe, index, model, *rest)

        monkeypatch.setattr(stages.RunningStage, "__init__", opened)
        toys.train(toys.recipe(stage("all")), tmp_path, model=network())
        before, (after,) = network().state_dict(), seen
        changed = {key for key in before if not torch.equal(before[key], after[key])}
        assert changed == {"2.weight_binarizer.inputs.threshold", "2.weight_binarizer.inputs.scale"}

    def test_the_averaged_copy_is_calibrated_too(self, tmp_path):
        still = {"optimizer": {"name": "sgd", "lr": 1e-30}, "ema": {"decay": 0.5}}
        toys.train(toys.recipe({"steps": 1, **still}), tmp_path, model=network(SignBinarizer))
        assert last(tmp_path)["2.weight_binarizer.inputs.shift"].abs().min() > 1e-3

    def test_none_where_inputs_have_been_learned_before(self, tmp_path, calls):
        phase = engine.Phase("binarized", tmp_path, network(), calibrated=True)
        toys.trainer(toys.recipe(stage("all"))).train(phase)
        assert calls == []

    def test_none_for_a_float_model(self, tmp_path, calls):
        toys.train(toys.recipe(stage("all")), tmp_path, model=toys.network(binary=False))
        assert calls == []


@pytest.mark.parametrize("kind", [StepBinarizer, SignBinarizer])
@pytest.mark.parametrize(("number", "event"), [(1, "done"), (2, "step"), (2, "done"), (4, "step")])
def test_killed_and_resumed_is_never_interrupted_to_the_bit(tmp_path, kind, number, event):
    average = {"ema": {"decay": 0.8}}
    chosen = toys.recipe(stage("none"), stage("activations", 2, **average), stage("all", **average))
    toys.train(chosen, tmp_path / "whole", model=network(kind))
    with pytest.raises(Killed):
        toys.train(chosen, tmp_path / "cut", KillAt(number, event), network(kind))
    toys.train(chosen, tmp_path / "cut", model=network(kind))
    assert toys.same(last(tmp_path / "cut"), last(tmp_path / "whole"))
    for cut, whole in zip(rows(tmp_path / "cut"), rows(tmp_path / "whole"), strict=True):
        assert cut["saturated"] == whole["saturated"]
        assert cut["test_loss"] == whole["test_loss"]


class TestSaturation:
    def test_a_column_counts_the_layers_where_inputs_are_binary(self, tmp_path, monkeypatch):
        monkeypatch.setattr(accuracy, "IMBALANCED", 0.0)
        chosen = toys.recipe(stage("weights"), stage("activations"), stage("all"))
        toys.train(chosen, tmp_path, model=network())
        assert [row["saturated"] for row in rows(tmp_path)] == ["", "1", "1"]

    def test_it_is_what_the_layer_gets(self):
        model, images = network().eval(), toys.images().tensors[0]
        (binarizer,) = (b for _, b in binary_inputs(model))
        inputs = model[:2](images)
        values = inputs[inputs > 0]
        for threshold, expected in ((0.0, ["2"]), (values.median(), []), (values.max(), ["2"])):
            binarizer.threshold.data[:] = threshold
            shares = calibration.input_shares(model, images)
            assert Scores(1, 0.0, 0.0, 0.0, shares).saturated == expected

    def test_it_warns_once_when_the_count_grows(self):
        heard = Heard()
        watch = calibration.Watch([], heard)
        for layers in (None, [], ["a"], ["a", "b"]):
            watch.update(layers)
        assert heard.warned == ["more than 95% of one value come into a"]

    def test_it_does_not_warn_again_when_a_training_goes_on(self):
        heard = Heard()
        watch = calibration.Watch([{"saturated": ""}, {"saturated": "2"}], heard)
        watch.update(["a", "b", "c"])
        assert heard.warned == []

    def test_a_damaged_row_counts_as_none(self):
        heard = Heard()
        calibration.Watch([{"saturated": "\ufffd"}], heard).update(["a"])
        assert len(heard.warned) == 1

    def test_rows_of_earlier_versions_have_no_such_column(self):
        heard = Heard()
        calibration.Watch([{"epoch": "1"}], heard).update([f"layer{n}" for n in range(7)])
        assert heard.warned == [
            "more than 95% of one value come into layer0, layer1, layer2, layer3, layer4 and 2 more layers"
        ]


@pytest.mark.parametrize("kwargs", [{}, {"filter_bias_and_bn": False}])
@pytest.mark.parametrize("kind", [StepBinarizer, SignBinarizer])
def test_what_conversion_added_never_decays(kind, kwargs):
    model = network(kind)
    config = Optimizer(name="adamw", lr=0.1, weight_decay=0.5, kwargs=kwargs)
    groups = make_optimizer(config, model).param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    names = {name: decays[id(p)] for name, p in model.named_parameters()}
    assert len(decays) == len(names)
    assert {w for name, w in names.items() if "binarizer" in name} == {0.0}
    assert names["2.weight"] == names["8.weight"] == 0.5
    assert names["8.bias"] == (0.5 if kwargs else 0.0)


TWO = [
    {"epochs": 1, "binary": "activations", "optimizer": {"name": "adamw", "lr": 2e-3}},
    {"epochs": 1, "optimizer": {"name": "adamw", "lr": 2e-3}},
]
STEP = {"model": tiny.BINARY["model"], "binarize": {"activations": "step"}, "stages": TWO}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "step"
    tiny.finish(tiny.recipe(twin=True, **STEP), path)
    return path


class TestRuns:
    def test_the_run_builds_and_its_twin_is_float(self, trained):
        assert all(b.name == "step" for _, b in binary_inputs(build(trained)))
        assert list(binary_inputs(build(trained))) != []
        assert not list(added_modules(build(trained / "twin")))
        assert "activations: step" in (trained / "recipe.resolved.yaml").read_text()

    def test_a_run_trained_on_keeps_its_thresholds(self, trained, tmp_path):
        still = [{"steps": 1, "optimizer": {"name": "sgd", "lr": 1e-30}}]
        told = tiny.Told()
        tiny.finish(tiny.recipe(stages=still), tmp_path / "on", target=trained, progress=told)
        before, after = last(trained), last(tmp_path / "on")
        keys = [key for key in before if key.endswith(("threshold", "inputs.scale"))]
        assert keys
        assert all(torch.equal(before[key], after[key]) for key in keys)
        assert not told.heard("calibrated")

    def test_with_other_activations_it_is_calibrated_again(self, trained, tmp_path):
        told = tiny.Told()
        still = [{"steps": 1, "optimizer": {"name": "sgd", "lr": 1e-30}}]
        chosen = tiny.recipe(stages=still, binarize={"activations": "sign"})
        tiny.finish(chosen, tmp_path / "on", target=trained, progress=told)
        assert told.heard("calibrated on")
        assert told.heard("activations: sign (the recipe's), not step (the run's)")
        weights = json.loads((tmp_path / "on" / "run.json").read_text())
        assert weights["conversion"]["activations"] == "sign"

    def test_activations_that_stay_float_have_no_stage(self, tmp_path):
        float_inputs = tmp_path / "float"
        tiny.finish(tiny.recipe(1, **tiny.BINARY), float_inputs)
        with pytest.raises(TrainingError, match=r"stages\.0\.binary is activations") as caught:
            tiny.finish(tiny.recipe(stages=TWO), tmp_path / "on", target=float_inputs)
        assert "binarize.activations=step" in caught.value.hint
        assert not (tmp_path / "on").exists()
