"""Stages without labels: what they take for images, what is reported, and what asks for labels anyway."""

from __future__ import annotations

import csv
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from float_network import SMALLER, write_weights
from PIL import Image

from binarize import data
from binarize.api import convert_to_run
from binarize.cli.app import main
from binarize.data import has_split, open_dataset
from binarize.errors import DataError, TrainingError
from binarize.exporting.images import calibration_images, images_for
from binarize.exporting.subject import open_subject
from binarize.models import logits_of
from binarize.recipe import Recipe, load
from binarize.rewrite import Options, SourceOptions, build
from binarize.run import layout, open_run
from binarize.run.weights import read_state
from binarize.training import train
from binarize.training.teacher import make_teacher

SIDE, IMAGES = 8, 48
MATCHING = {"teacher": "float", "weight": 0.0, "features": 1.0, "labels": False}
STAGE = {"steps": 2, "optimizer": {"name": "adam", "lr": 1e-3}}


def recipe(*stages: dict, **sections) -> Recipe:
    images = {"name": "folder", "img_size": SIDE, "batch_size": 16, "workers": 0}
    chosen = list(stages) or [{**STAGE, "distill": MATCHING}]
    return load(
        {
            "data": {**images, **sections.pop("data", {})},
            "stages": chosen,
            "engine": {"threads": 1},
            **sections,
        }
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """`run`, converted from trained weights and not fitted, and `images`, which lie in no class's folder."""
    root = tmp_path_factory.mktemp("unlabelled")
    write_weights(root)
    source = SourceOptions(checkpoint=root / "float.safetensors", img_size=SIDE, kwargs=SMALLER)
    convert_to_run("cifar_resnet20", Options(stem="keep"), source, out=root / "run")
    random = np.random.default_rng(0)
    (root / "images" / "deep" / "er").mkdir(parents=True)
    for number in range(IMAGES):
        pixels = random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        below = "deep/er" if number % 2 else "."
        Image.fromarray(pixels).save(root / "images" / below / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def trained(made) -> Path:
    out = made / "trained"
    result = train(recipe(), made / "run", data_dir=made / "images", out=out)
    content = result.as_json()
    assert {"top1", "top5", "top1_best"}.isdisjoint(content)
    assert 0 <= content["agreement"] <= content["agreement_best"] <= 100
    return out


def row(run: Path) -> dict[str, str]:
    with (run / layout.METRICS).open() as file:
        return list(csv.DictReader(file))[-1]


def test_what_is_reported_is_the_agreement_with_the_parent(trained):
    run, last = open_run(trained), row(trained)
    assert [last[key] for key in last if "top" in key or key.startswith(("val", "test"))] == [
        ""
    ] * 7
    model = build(trained)
    config = load(trained / layout.RECIPE).data
    assert config.labels is False
    images, _ = next(iter(data.test_loader(config, run.info.preprocess)))
    parent = make_teacher(recipe().stages[0].distill, trained, run.info)
    with torch.no_grad():
        same = logits_of(model(images)).argmax(1) == logits_of(parent(images)).argmax(1)
    assert len(same) == IMAGES // 8
    assert float(last["agreement"]) == pytest.approx(100 * float(same.float().mean()), abs=1e-3)


def test_the_classes_stay_what_they_were(made, trained):
    assert open_run(trained).info.classes == open_run(made / "run").info.classes


def test_it_keeps_the_float_weights_that_it_learned_from(made, trained):
    kept, given = (
        read_state(file) for file in (trained / layout.PARENT, made / "float.safetensors")
    )
    assert kept.keys() == given.keys()
    assert all(torch.equal(kept[key], given[key]) for key in kept)
    own = read_state(open_run(trained).weights)
    assert not torch.equal(own["layer1.0.conv1.weight"], kept["layer1.0.conv1.weight"])


def test_what_follows_takes_such_a_run(trained, capsys):
    subject = open_subject(trained)
    assert images_for(subject).description == "6 test images of folder"
    assert calibration_images(subject).description == f"{IMAGES - 6} training images of folder"
    assert main(["report", str(trained), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"]["top1"] is None


def test_the_command_trains_on_a_tar_and_says_what_came_of_it(made, capsys, tmp_path):
    with tarfile.open(tmp_path / "images.tar", "w") as tar:
        tar.add(made / "images", "images")
    (tmp_path / "r.yaml").write_text(json.dumps(recipe().model_dump(exclude_unset=True)))
    call = [
        "train",
        made / "run",
        "--recipe",
        tmp_path / "r.yaml",
        "--data-dir",
        tmp_path / "images.tar",
    ]
    assert main([*map(str, call), "-o", str(tmp_path / "out")]) == 0
    said = "".join(capsys.readouterr())
    assert "the images have no labels, and no stage needs them" in said
    assert said.count("same answer as the teacher") == 2
    assert "top-1" not in said


def test_without_labels_one_split_is_passed_over_and_said(made, tmp_path):
    for split in ("train", "val", "test"):
        (tmp_path / split).mkdir()
        for number in range(2):
            image = (made / "images" / f"{2 * number}.png").read_bytes()
            (tmp_path / split / f"{number}.png").write_bytes(image)
    config, said = recipe(data={"dir": str(tmp_path), "labels": False}).data, []
    assert len(open_dataset(config, "train", say=said.append)) == 2
    assert said[1].endswith("passed over beside the splits: test (no labels)")
    assert [has_split(config, split) for split in ("holdout", "test")] == [False, True]


def test_splits_are_those_of_the_folder_where_it_has_both(made, tmp_path):
    for split, files in (("train", 3), ("val", 2)):
        for number in range(files):
            (tmp_path / split).mkdir(exist_ok=True)
            source = made / "images" / f"{2 * number}.png"
            (tmp_path / split / source.name).write_bytes(source.read_bytes())
    config = recipe(data={"dir": str(tmp_path), "labels": False}).data
    assert [len(open_dataset(config, split)) for split in ("train", "test")] == [3, 2]
    alone = recipe(data={"dir": str(made / "images"), "labels": False}).data
    found = [open_dataset(alone, split) for split in ("train", "test")]
    assert [len(images) for images in found] == [IMAGES - 6, 6]
    seen = {np.asarray(images[n][0]).tobytes() for images in found for n in range(len(images))}
    assert len(seen) == IMAGES


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (recipe({**STAGE, "distill": MATCHING}, STAGE), "stages.1 learns from labels"),
        (recipe(twin=True), "the float baseline learns from labels"),
    ],
)
def test_labels_that_are_needed_are_missed_in_a_sentence(made, tmp_path, chosen, words):
    with pytest.raises(
        DataError, match=f"does not have at least two classes, and {words}"
    ) as caught:
        train(chosen, made / "run", data_dir=made / "images", out=tmp_path / "out")
    assert "binarize convert MODEL --calib-data DIR" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_labels_that_are_there_are_used(made, tmp_path):
    for number, split in enumerate(("train", "train", "val", "val")):
        folder = tmp_path / "data" / split / f"class{number % 2}"
        folder.mkdir(parents=True)
        for name in range(8):
            source = made / "images" / f"{2 * (8 * number + name) % IMAGES}.png"
            (folder / f"{name}.png").write_bytes(source.read_bytes())
    chosen = recipe(data={"dir": str(tmp_path / "data")})
    with pytest.raises(
        TrainingError, match="the float model, which has a new classifier"
    ) as caught:
        train(chosen, made / "run", out=tmp_path / "out")
    assert "--set twin=true" in caught.value.hint
    chosen = recipe(data={"dir": str(tmp_path / "data"), "labels": False})
    assert not train(chosen, made / "run", out=tmp_path / "out").labelled
