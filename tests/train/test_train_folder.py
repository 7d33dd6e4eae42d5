"""Trainings on folders of pictures: which images judge, which are scored once, and what the run keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import train_runs as tiny
from PIL import Image

import binarize
from binarize.errors import DataError, TrainingError
from binarize.run import Run, open_run, tables, write_info
from binarize.training import TrainResult, train

CLASSES = {"dark": 60, "light": 200}


def pictures(root: Path, each: int, classes: dict[str, int] | None = None) -> Path:
    """Grey noise, 10 x 14 pixels, that is dark or light."""
    noise = np.random.default_rng(each)
    for name, level in (classes or CLASSES).items():
        (root / name).mkdir(parents=True)
        for number in range(each):
            pixels = noise.integers(level - 50, level + 50, (10, 14, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def recipe(folder: Path, epochs: int = 2, **data: Any) -> Any:
    images = {"name": "folder", "dir": str(folder), "batch_size": 8, "cache": False, **data}
    return tiny.recipe(epochs, model=tiny.BINARY["model"], data=images)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, list[str]]:
    """A run on train/, val/ and test/."""
    root, told = tmp_path_factory.mktemp("three"), tiny.Told()
    for split, each in (("train", 8), ("val", 3), ("test", 2)):
        pictures(root / split, each)
    return train(recipe(root), out=root / "run", progress=told), told.said


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on one folder, of images that are not square, and of one that was left out."""
    root = tmp_path_factory.mktemp("one")
    folder = pictures(root / "pictures", 12)
    (folder / "dark" / "none.jpg").write_bytes(b"none")
    config = recipe(folder, 1, holdout=0.25, img_size="8x12", on_error="skip")
    result = train(config, out=root / "run")
    binarize.export(result.run, root / "run" / "model.onnx")
    return open_run(result.run)


def test_val_judges_and_test_is_scored_once(three: tuple[TrainResult, list[str]]) -> None:
    result, said = three
    rows = tables.METRICS.read(Path(result.run))
    assert [bool(row["val_top1"]) for row in rows] == [True, True]
    assert [bool(row["test_top1"]) for row in rows] == [False, True]
    assert float(rows[-1]["test_top1"]) == result.top1
    for split, images in (("train", 16), ("val", 6), ("test", 4)):
        assert any(f'{split}": {images} images of 2 classes, 10x14' in text for text in said)


def test_the_run_keeps_its_answers_to_the_test_images(
    three: tuple[TrainResult, list[str]],
) -> None:
    result, _ = three
    answers = open_run(result.run).answers
    assert answers is not None
    assert (answers.images, answers.classes) == ("test", ["dark", "light"])
    total = sum(count for *_, count in answers.counts)
    right = sum(count for label, answer, count in answers.counts if label == answer)
    assert (total, 100 * right / total) == (4, result.top1)
    assert len(answers.worst) == total - right
    for one_wrong in answers.worst:
        assert one_wrong.image.startswith(answers.classes[one_wrong.label])
        assert one_wrong.probability > one_wrong.of_label


def test_of_one_folder_the_result_is_that_of_the_images_set_aside(one: Run) -> None:
    rows = tables.METRICS.read(one.path)
    assert rows[-1]["val_top1"]
    assert not rows[-1].get("test_top1")
    assert one.answers is not None
    assert one.answers.images == "held-out"
    assert sum(count for *_, count in one.answers.counts) == 6


def test_eval_scores_the_same_images_by_the_module_and_its_file(one: Run) -> None:
    """Not square, from preprocessing to the ONNX file; 6 of the 24 images were not trained on, and what the
    training left out is left out again."""
    info = json.loads((one.path / "run.json").read_text())
    assert info["preprocess"]["img_size"] == [8, 12]
    assert (info["data"]["holdout"], info["data"]["images"]) == (0.25, 24)
    assert info["data"]["on_error"] == "skip"
    told = tiny.Told()
    module, file = binarize.evaluate(one.path, workers=0, progress=told)
    assert told.heard("scored are 6 of them: those set aside when it was trained")
    assert (module.images, file.images) == (6, 6)
    assert module.top1 == float(tables.METRICS.read(one.path)[-1]["val_top1"])
    assert file.max_abs_diff is not None
    assert file.max_abs_diff < 1e-4
    with pytest.raises(DataError, match=r"dark/none\.jpg"):
        binarize.evaluate(one.path, on_error="stop")
    folder = Path(info["data"]["dir"])
    assert binarize.evaluate(one.path, data_dir=folder, workers=0)[0].images == 6
    (folder.parent / "list.csv").write_text(
        "".join(f"{path},{path.parent.name}\n" for path in sorted(folder.rglob("*.png")))
    )
    listed = binarize.evaluate(one.path, data_dir=folder.parent / "list.csv", workers=0)
    assert listed[0].images == 24


def test_images_that_came_after_the_training_are_warned_of(one: Run, tmp_path: Path) -> None:
    """Which ones were set aside follows from all of them."""
    folder = pictures(tmp_path / "pictures", 14)
    write_info(one.path, one.info.replace(data=one.info.data.replace(dir=str(folder))))
    told = tiny.Told()
    assert binarize.evaluate(one.path, workers=0, progress=told)[0].images == 7
    assert told.heard("has 28 images and had 24 when")


def test_damaged_images_stop_an_evaluation_or_are_left_out(one: Run, tmp_path: Path) -> None:
    pictures(tmp_path / "more", 2)
    (tmp_path / "more" / "dark" / "9.png").write_bytes(b"none")
    with pytest.raises(DataError, match=r"1 of 5 images of .* cannot be read: dark/9.png"):
        binarize.evaluate(one.path, data_dir=tmp_path / "more")
    told = tiny.Told()
    found = binarize.evaluate(
        one.path, data_dir=tmp_path / "more", on_error="skip", workers=0, progress=told
    )
    assert found[0].images == 4
    assert told.heard("skipped: unreadable: dark/9.png")


def test_nothing_to_judge_by_is_said_before_anything_is_written(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures", 8)
    with pytest.raises(DataError, match="no images are set aside") as caught:
        train(recipe(folder), out=tmp_path / "run")
    assert "data.holdout=0.2" in caught.value.hint
    assert not (tmp_path / "run").exists()


def test_a_stage_never_ends_by_the_test_images(tmp_path: Path) -> None:
    for split in ("train", "test"):
        pictures(tmp_path / split, 8)
    stage = {"epochs": 1, "optimizer": {"lr": 0.1}, "early_stop": {"patience": 1}}
    chosen = tiny.recipe(
        stages=[stage], model=tiny.BINARY["model"], data=dict(recipe(tmp_path).data)
    )
    with pytest.raises(DataError, match="early_stop needs images to judge by besides the test"):
        train(chosen, out=tmp_path / "run")


def test_a_number_of_classes_that_the_data_contradicts(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures", 8)
    model = {**tiny.BINARY["model"], "num_classes": 3}
    chosen = recipe(folder, holdout=2).model_copy(update={"model": tiny.recipe(model=model).model})
    with pytest.raises(TrainingError, match="num_classes is 3, and the data has 2 classes"):
        train(chosen, out=tmp_path / "run")
