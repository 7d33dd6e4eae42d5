"""Options of `train` that are short for `--set`."""

from __future__ import annotations

import pytest
from typed import run

from binarize.cli import short
from binarize.cli.command import WrongUsage
from binarize.cli.train import _outcome
from binarize.errors import RecipeError, TrainingError
from binarize.recipe import Engine, load
from binarize.run import layout
from binarize.training.device import make_accelerator
from binarize.training.resume import result
from binarize.training.training_state import TrainingState


def test_epochs_and_rate_are_those_of_the_last_stage(capsys):
    given = {"--epochs": 2, "--lr": 0.25, "--seed": 7, "--device": None}
    recipe = load("finetune", short.overrides("finetune", ["data.workers=0"], given))
    fit, labels = recipe.stages
    assert (labels.name, labels.epochs, labels.optimizer.lr) == ("labels", 2, 0.25)
    assert (fit.steps, fit.optimizer.lr) == (120, 0.003)
    assert (recipe.seed, recipe.data.workers) == (7, 0)
    said = "".join(capsys.readouterr())  # where talk goes depends on who ran before
    assert said == '--epochs and --lr are of the last of 2 stages, "labels"\n'


def test_epochs_take_the_place_of_steps(capsys, folder):
    (folder / "mine.yaml").write_text(
        "extends: digits\nstages: [{steps: 9, optimizer: {name: momentum, lr: 0.05}}]\n"
    )
    (stage,) = load("mine.yaml", short.overrides("mine.yaml", [], {"--epochs": 3})).stages
    assert (stage.epochs, stage.steps) == (3, None)
    with pytest.raises(WrongUsage, match=r"--epochs and --set stages.0.steps contradict"):
        short.overrides("mine.yaml", ["stages.0.steps=5"], {"--epochs": 3})
    assert "".join(capsys.readouterr()) == ""


def test_the_other_options_are_keys_too():
    given = {"--batch-size": 8, "--img-size": "48", "--device": "cuda:1"}
    recipe = load("digits", short.overrides("digits", [], given))
    assert (recipe.data.batch_size, recipe.data.img_size) == (8, 48)
    assert recipe.engine.device == "cuda:1"
    assert short.overrides("no recipe at all", ["seed=1"], dict.fromkeys(short.KEYS)) == ["seed=1"]


@pytest.mark.parametrize(
    ("recipe", "key", "option"),
    [
        ("finetune", "stages.1.epochs", "--epochs"),
        ("digits", "stages.0.optimizer.lr", "--lr"),
        ("digits", "seed", "--seed"),
    ],
)
def test_a_key_that_both_change_is_refused(recipe, key, option):
    with pytest.raises(WrongUsage, match=f"{option} and --set {key} contradict each other"):
        short.overrides(recipe, [f"{key}=1"], {option: 1})


@pytest.mark.parametrize("arguments", [["--epochs", "3"], ["--seed", "0"], ["--device", "cpu"]])
def test_a_resumed_training_takes_none_of_them(arguments, capsys, folder):
    assert run("train", "--resume", "runs/x", *arguments) == 2
    assert capsys.readouterr().err.splitlines()[1] == f"hint: omit {arguments[0]}"


def test_a_device_that_is_there_and_others():
    assert make_accelerator(Engine(device="cpu"), 8).device.type == "cpu"
    with pytest.raises(TrainingError, match='there is no device "xpu:99"') as error:
        make_accelerator(Engine(device="xpu:99"), 8)
    assert "--device cpu" in error.value.hint
    with pytest.raises(RecipeError, match="should be auto, cpu, cuda"):
        load("digits", ["engine.device=gpu"])


@pytest.mark.parametrize(
    ("line", "images", "words"),
    [
        ("1,90.5,", "holdout", "held-out"),
        ("1,90.5,88", "test", "test"),
        ("1,,88", "test", "test"),
    ],
)
def test_the_outcome_says_of_which_images_it_is(tmp_path, line, images, words):
    (tmp_path / layout.METRICS).write_text(f"epoch,val_top1,test_top1\n{line}\n")
    state = TrainingState(epochs=1, trained=1, top1=88.0)
    told = result(tmp_path, [state], labelled=True)
    assert told.as_json()["top1_on"] == images
    assert _outcome(told).startswith(f"top-1 on the {words} images 88.00 % after 1 epochs")
    assert "top1_on" not in result(tmp_path, [state], labelled=False).as_json()
