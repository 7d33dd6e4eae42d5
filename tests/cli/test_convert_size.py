"""`convert --size`, from the command to the run, its file, its page and its training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from float_network import write_images, write_weights
from typed import run

from binarize import training
from binarize.recipe.schema import Recipe
from binarize.run import layout, open_run

SIDE, LIMIT = 8, 40_000


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with float.safetensors and forty images."""
    root = tmp_path_factory.mktemp("sized")
    write_weights(root)
    write_images(root / "images", SIDE)
    return root


def call(made: Path, *more: object) -> list[str]:
    words = ["convert", "cifar_resnet20", "--checkpoint", made / "float.safetensors"]
    words += [
        "--img-size",
        SIDE,
        "--stem",
        "keep",
        "--num-classes",
        10,
        "--model-arg",
        "blocks=1",
        *more,
    ]
    return [str(word) for word in words]


def files(made: Path) -> set[Path]:
    return set(made.rglob("*"))


@pytest.mark.slow
def test_the_run_is_like_any_other(made, capsys):
    data = ["--calib-data", made / "images", "--calib-steps", 1]
    assert run(*call(made, *data, "--size", "40kB", "-o", made / "run", "--json")) == 0
    out, err = capsys.readouterr()
    content = json.loads(out)
    curve = content["curve"]
    assert curve == content["fit"]["allocation"]["curve"]
    assert "same answer %" in err
    assert f"{curve[0]['bytes']:,}" in err
    assert "a file of at most 40.00 kB" in err

    several = {
        row["name"]: row["bases"] for row in content["layers"] if row["action"] == "binarized"
    }
    assert len(set(several.values())) > 1
    info = open_run(made / "run").info
    assert {c.match: c.bases for c in info.conversion.layers}.items() <= several.items()

    assert run("export", str(made / "run"), "--onnx", "--json") == 0
    assert json.loads(capsys.readouterr()[0])["bytes"] <= info.fit.allocation.bytes <= LIMIT

    assert run("report", str(made / "run"), "--json") == 0
    page = (made / "run" / layout.PAGE).read_text()
    assert "Where the bits go" in page
    assert "KL of the answers, one layer binary" in page
    assert "statistics of the batch" in page
    first = open_run(made / "run").sensitivity.ranked()[0]
    assert f"<td>{first.name}</td>" in page

    stage = {"steps": 1, "optimizer": {"name": "sgd", "lr": 1e-4}}
    digits = {"name": "digits", "img_size": SIDE, "batch_size": 32, "workers": 0}
    recipe = Recipe.model_validate({"version": 1, "data": digits, "stages": [stage]})
    training.train(recipe, made / "run", out=made / "trained")
    trained = open_run(made / "trained").info
    assert trained.conversion.layers == info.conversion.layers
    assert trained.fit.allocation == info.fit.allocation


def test_what_is_no_size_is_wrong_usage(made, capsys):
    before = files(made)
    data = ["--calib-data", made / "images"]
    assert run(*call(made, *data, "--size", "4XB")) == 2
    assert '"4XB" is not the size of a file' in capsys.readouterr()[1]
    assert run(*call(made, *data, "--agreement", "101")) == 2
    assert files(made) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "75kB", "--agreement", "90"], "two goals"),
        (["--size", "75kB", "--bases", "1"], "so does --bases"),
        (["--size", "75kB", "--dry-run"], "a dry run does not read"),
    ],
)
def test_options_that_exclude_each_other(made, capsys, options, words):
    before = files(made)
    assert run(*call(made, "--calib-data", made / "images", *options)) == 1
    err = capsys.readouterr()[1]
    assert words in err
    assert "hint: " in err
    assert files(made) == before


def test_it_needs_images_and_trained_weights(made, capsys):
    assert run(*call(made, "--agreement", "90")) == 1
    assert "add --calib-data DIR" in capsys.readouterr()[1]
    call_ = ["convert", "cifar_resnet20", "--no-pretrained", "--img-size", str(SIDE)]
    assert run(*call_, "--calib-data", str(made / "images"), "--size", "75kB") == 1
    assert "whose weights are random" in capsys.readouterr()[1]


def test_sensitivity_of_a_run_stays_in_it_and_damage_is_a_note(made, capsys):
    assert run(*call(made, "-o", made / "plain")) == 0
    images = str(made / "images")
    assert (
        run("sensitivity", str(made / "plain"), "--calib-data", images, "--calib-images", "4") == 0
    )
    found = open_run(made / "plain").sensitivity
    assert (found.images, found.statistics, len(found.ranked())) == (4, "float", 6)
    (made / "plain" / layout.SENSITIVITY).write_text('{"model": 1}')
    capsys.readouterr()
    assert run("report", str(made / "plain"), "--json") == 0
    notes = json.loads(capsys.readouterr()[0])["notes"]
    assert any("sensitivity.json" in note and "is damaged" in note for note in notes)
