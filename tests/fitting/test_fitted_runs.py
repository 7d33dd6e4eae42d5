"""What a fitted run keeps, and who uses it: undoing, training, teachers, the words of convert."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from float_network import SMALLER, write_images, write_weights

import binarize
from binarize import training
from binarize.api import convert_to_run
from binarize.cli.app import main
from binarize.converting import Calibration
from binarize.errors import RunError, TrainingError
from binarize.models import fetch
from binarize.progress import Progress
from binarize.recipe import Recipe, load
from binarize.recipe.schema import Distill
from binarize.rewrite import Options, SourceOptions, build, open_float
from binarize.run import layout, open_run, tables
from binarize.run.weights import read_state, save_weights
from binarize.training.start import start
from binarize.training.teacher import make_teacher

SIDE = 8


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """float.safetensors, forty images and two runs: `fitted`, and `bare`, which keeps no float weights."""
    root = tmp_path_factory.mktemp("fitted")
    write_weights(root)
    write_images(root / "images", SIDE)
    for name, keep in (("fitted", True), ("bare", False)):
        convert_to_run(
            "cifar_resnet20",
            Options(stem="keep", activations="step" if keep else "float"),
            SourceOptions(checkpoint=root / "float.safetensors", img_size=SIDE, kwargs=SMALLER),
            out=root / name,
            calibration=Calibration(root / "images", steps=3 if keep else 0),
            keep_float=keep,
        )
    return root


def state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_the_float_weights_are_kept_beside_the_fitted_ones(made):
    parent = read_state(made / "float.safetensors")
    assert equal(read_state(made / "fitted" / layout.PARENT), parent)
    fitted = read_state(open_run(made / "fitted").weights)
    assert not torch.equal(fitted["layer1.0.conv1.weight"], parent["layer1.0.conv1.weight"])
    info = open_run(made / "fitted").info
    assert (info.fit.images, info.fit.steps) == (35, 3)
    assert info.fit.error_after < info.fit.error_before
    assert equal(state(build(made / "fitted")), fitted)


def test_what_undoes_the_conversion_finds_the_float_weights(made):
    parent = read_state(made / "float.safetensors")
    opened = open_float(made / "fitted")
    assert equal(state(opened.model), parent)
    assert opened.info.fit is None
    again = binarize.convert(made / "fitted", activations="float")
    assert torch.equal(
        again.layer1[0].conv1._parameters["weight"].detach(), parent["layer1.0.conv1.weight"]
    )


def test_a_run_without_them_says_so(made):
    assert not (made / "bare" / layout.PARENT).exists()
    assert open_run(made / "bare").info.fit.steps == 0
    with pytest.raises(RunError, match="does not keep") as caught:
        open_float(made / "bare")
    assert "--no-keep-float" in caught.value.hint
    recipe = {**RECIPE, "distill": {"teacher": "float"}}
    with pytest.raises(RunError, match="does not keep"):
        train(made / "bare", made / "nothing", recipe)
    assert not (made / "nothing").exists()


RECIPE = {"steps": 1, "optimizer": {"name": "sgd", "lr": 1e-4}}


def recipe(*stages: dict, **sections: object) -> Recipe:
    data = {"name": "digits", "img_size": SIDE, "batch_size": 32, "workers": 0}
    return load({"data": data, "stages": list(stages), **sections})


def train(target: Path, out: Path, *stages: dict, twin: bool = False) -> None:
    training.train(recipe(*stages, twin=twin), target, out=out)


def test_training_goes_on_from_the_fitted_weights_and_learns_from_the_float_ones(made, monkeypatch):
    began = {}
    original = training.start.__globals__["save_weights"]

    def spy(path, weights, **metadata):
        began.setdefault(path.parent.name, {k: v.clone() for k, v in weights.items()})
        original(path, weights, **metadata)

    monkeypatch.setitem(training.start.__globals__, "save_weights", spy)
    matching = {"teacher": "float", "weight": 0.0, "features": 1.0, "labels": False}
    train(made / "fitted", made / "trained", {**RECIPE, "distill": matching})
    fitted = read_state(open_run(made / "fitted").weights)
    assert equal(began["initial"], fitted)
    run = open_run(made / "trained")
    assert run.info.fit == open_run(made / "fitted").info.fit
    parent = read_state(made / "float.safetensors")
    assert equal(read_state(run.path / layout.PARENT), parent)
    teacher = make_teacher(Distill(features=1.0), run.path, run.info)
    assert equal(state(teacher.model), parent)
    assert teacher.names[:2] == ("layer1.0.bn1", "layer1.0.bn2")
    assert set(teacher.names) == run.info.fit.outputs.keys() - {""}
    assert equal(state(open_float(run.path).model), parent)


FIT = {
    **RECIPE,
    "skip_if": "fitted",
    "distill": {"teacher": "float", "weight": 0.0, "features": 1.0, "labels": False},
}


class Heard(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def started(target: Path, out: Path, **sections: dict) -> int:
    """How many stages a new training has that would fit and then train."""
    heard = Heard()
    start(recipe(FIT, RECIPE, **sections), "r", target, out, heard)
    stages = load(out / layout.RECIPE).stages
    said = "stage 1 is skipped: the run is fitted to its float model already" in heard.said
    assert said == (len(stages) == 1)
    assert stages[-1].distill is None
    return len(stages)


def test_a_stage_that_fits_is_skipped_for_a_run_that_is_fitted(made):
    assert started(made / "fitted", made / "skipped") == 1
    assert started(made / "fitted", made / "others", binarize={"bases": 2}) == 2  # another network


def test_a_run_that_a_training_fitted_learns_from_the_same_float_model_again(made):
    convert_to_run(
        "cifar_resnet20",
        Options(stem="keep"),
        SourceOptions(checkpoint=made / "float.safetensors", img_size=SIDE, kwargs=SMALLER),
        out=made / "plain",
    )
    train(made / "plain", made / "once", FIT, RECIPE)
    assert len(tables.METRICS.read(made / "once")) == 2
    assert started(made / "once", made / "twice") == 1
    parent = read_state(made / "float.safetensors")
    for name in ("once", "twice"):
        run = open_run(made / name)
        assert equal(state(make_teacher(Distill(), run.path, run.info).model), parent)
    assert equal(state(open_float(made / "once").model), parent)


def test_inner_outputs_are_learned_of_the_same_architecture_alone(made, monkeypatch):
    monkeypatch.setattr(
        "binarize.training.teacher._from_library",
        lambda name: fetch("test_efficientnet", pretrained=False, num_classes=10).model,
    )
    run = open_run(made / "fitted")
    distill = Distill(teacher="test_efficientnet", features=1.0)
    with pytest.raises(TrainingError, match=r"has no module \"layer1\.0\.bn1\"") as caught:
        make_teacher(distill, run.path, run.info.replace(classes=[str(n) for n in range(10)]))
    assert "same architecture" in caught.value.hint


def test_its_float_baseline_begins_with_the_float_weights(made, monkeypatch):
    from binarize.training import engine

    began = []
    monkeypatch.setattr(
        engine.Trainer, "train", lambda self, phase: began.append(state(phase.model)) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        train(made / "fitted", made / "with-twin", RECIPE, twin=True)
    assert equal(began[0], read_state(made / "float.safetensors"))
    shutil.rmtree(made / "with-twin")


def command(capsys, *arguments) -> tuple[str, str]:
    capsys.readouterr()
    assert main([str(each) for each in arguments]) == 0
    return capsys.readouterr()


def test_the_command_says_what_came_of_it(made, capsys, tmp_path):
    call = ["convert", "cifar_resnet20", "--checkpoint", made / "float.safetensors"]
    call += ["--img-size", SIDE, "--stem", "keep", "--num-classes", 10, "--model-arg", "blocks=1"]
    fitting = [*call, "--calib-data", made / "images", "--calib-steps", 1, "--json"]
    out, err = command(capsys, *fitting, "-o", tmp_path / "a", "--no-keep-float")
    fit = json.loads(out)["fit"]
    assert {"images", "steps", "seconds", "error_before", "error_after"} <= fit.keys()
    assert {"agreement_before", "agreement_after", "outputs"} <= fit.keys()
    assert "fitted on 35 images in 1 steps" in err
    assert "same answer as the float model" in err
    assert "not kept: this run cannot be converted again" in err
    assert not (tmp_path / "a" / "float").exists()
    out, err = command(capsys, *call, "-o", tmp_path / "b", "--json")
    assert json.loads(out)["fit"] is None
    assert "--calib-data DIR fits them" in err
    out, _ = command(capsys, "summary", tmp_path / "a")
    assert "fitted on 35 images" in out
    out, _ = command(capsys, "report", tmp_path / "a", "--json")
    assert json.loads(out)["fit"] == fit
    page = (tmp_path / "a" / layout.PAGE).read_text()
    before, after = fit["outputs"]["layer1.0.bn1"]
    assert (
        f'<td>layer1.0.bn1</td><td class="n">{before:.3g}</td><td class="n">{after:.3g}</td>'
        in page
    )
    assert "the network (logits)" in page


def test_random_weights_are_not_fitted(made, capsys, tmp_path):
    call = [
        "convert",
        "cifar_resnet20",
        "--no-pretrained",
        "--img-size",
        SIDE,
        "-o",
        tmp_path / "r",
    ]
    out, _ = command(capsys, *call, "--calib-data", made / "images")
    assert "nothing is fitted: the weights of the float model are random" in out
    assert open_run(tmp_path / "r").info.fit is None
    assert "--calib-data DIR fits" not in out


def test_a_new_stem_has_no_float_parent(made, capsys, tmp_path):
    call = ["convert", "resnet18", "--checkpoint", made / "r18.safetensors", "--stem", "cifar"]
    with torch.random.fork_rng():
        model = fetch("resnet18", pretrained=False, num_classes=10).model
    save_weights(made / "r18.safetensors", model.state_dict())
    out, _ = command(
        capsys, *call, "--num-classes", 10, "--img-size", 32, "--calib-data", made / "images",
        "-o", tmp_path / "r",
    )  # fmt: skip
    assert "nothing is fitted: the stem has new weights" in out
