"""Runs and ONNX files on the same images, through the Python face."""

from __future__ import annotations

import shutil

import pytest
import torch
from PIL import Image

import binarize
from binarize import api
from binarize.errors import DataError, ExportError, RunError
from binarize.evaluation import find
from binarize.progress import Progress
from binarize.rewrite import Options, SourceOptions
from binarize.run import Run, write_info

DIGITS = {
    "data": {"name": "digits", "dir": None},
    "classes": [str(digit) for digit in range(10)],
}
LIMIT = 50


def make_run(path, **changes):
    """A run with random weights that says it was trained on digits."""
    torch.manual_seed(0)
    source = SourceOptions(pretrained=False, kwargs={"blocks": 1})
    api.convert_to_run("cifar_resnet20", Options(), source, out=path)
    write_info(path, Run(path).info.replace(**DIGITS, **changes))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = make_run(tmp_path_factory.mktemp("evaluate") / "run")
    binarize.export(path, path / "model.onnx")
    return path


def test_a_run_that_holds_an_onnx_file_is_two_targets(run):
    first, other = binarize.evaluate(run, limit=LIMIT)
    assert (first.kind, other.kind) == ("torch", "onnx")
    assert (first.target, other.target) == (str(run), str(run / "model.onnx"))
    assert (first.images, other.images) == (LIMIT, LIMIT)
    assert first.compared_with is None
    assert other.compared_with == str(run)
    assert other.max_abs_diff <= 1e-4 * other.max_abs_logit
    assert other.top1_agreement == 100.0


def test_a_file_with_preprocessing_inside_is_compared_by_its_probabilities(run, tmp_path):
    binarize.export(run, tmp_path / "whole.onnx", with_preprocess=True)
    first, _, whole = binarize.evaluate([run, tmp_path / "whole.onnx"], limit=LIMIT)
    assert whole.top1 == first.top1
    assert whole.max_abs_diff <= 1e-5
    assert 0.1 <= whole.max_abs_logit <= 1


def test_accuracy_is_that_of_the_module(run):
    """Counted again by hand, on the data set's own images."""
    from binarize import data
    from binarize.recipe import Data

    images = data.open_dataset(Data(name="digits"), "test")
    info = Run(run).info
    mean, std = (
        torch.tensor(values).view(3, 1, 1) for values in (info.preprocess.mean, info.preprocess.std)
    )
    pixels = (images.pixels.float() / 255 - mean) / std
    with torch.inference_mode():
        logits = binarize.load(run)(pixels)
    wanted = 100 * (logits.argmax(1) == images.labels).double().mean().item()
    first, _ = binarize.evaluate(run)
    assert first.images == 360
    assert first.top1 == pytest.approx(wanted, abs=0.3)


def test_progress_is_told(run):
    told = []

    class Listening(Progress):
        def task(self, what, total=None, done=0):
            told.append((done, total))

        def update(self, done, note=""):
            told.append(done)

    (result,) = binarize.evaluate(
        run / "model.onnx",
        limit=LIMIT,
        batch_size=20,
        progress=Listening(),
    )
    assert result.kind == "onnx"
    assert told == [(0, LIMIT), 20, 40, LIMIT]


def test_no_parity_between_different_images(run, tmp_path):
    for name in DIGITS["classes"]:
        (tmp_path / "images/test" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "images/test" / name / "1.png")
    other = tmp_path / "other"
    shutil.copytree(run, other, ignore=shutil.ignore_patterns("*.onnx"))
    folder = {"name": "folder", "dir": str(tmp_path / "images")}
    write_info(other, Run(other).info.replace(data=folder))
    _, _, third = binarize.evaluate([run, other], limit=10, workers=0)
    assert (third.data, third.images) == (str(tmp_path / "images"), 10)
    assert third.compared_with is None
    assert third.max_abs_diff is None


def test_a_file_is_tested_on_the_images_of_the_run_that_holds_it(tmp_path, monkeypatch):
    """The file itself does not tell on which place of which machine they lie."""
    for name in DIGITS["classes"]:
        (tmp_path / "images/test" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "images/test" / name / "1.png")
    path = make_run(tmp_path / "run")
    folder = {"name": "folder", "dir": str(tmp_path / "images")}
    write_info(path, Run(path).info.replace(data=folder))
    binarize.export(path, path / "model.onnx")
    _, onnx = binarize.evaluate(path, workers=0)
    assert (onnx.images, onnx.compared_with) == (10, str(path))
    monkeypatch.chdir(path)
    with pytest.raises(DataError, match='"images" does not exist'):
        binarize.evaluate(path / "model.onnx")
    (alone,) = binarize.evaluate(path / "model.onnx", data_dir=tmp_path / "images", workers=0)
    assert alone.top1 == onnx.top1


def test_another_folder_takes_the_place_of_digits(run, tmp_path):
    for name in DIGITS["classes"]:
        (tmp_path / "val" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "val" / name / "1.png")
    first, other = binarize.evaluate(run, data_dir=tmp_path, workers=0)
    assert (first.images, other.images) == (10, 10)


def test_a_model_without_class_names_is_held_to_its_logits(tmp_path):
    path = make_run(tmp_path / "run")
    write_info(path, Run(path).info.replace(classes=[]))
    for name in ("cat", "dog"):
        (tmp_path / "images/test" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "images/test" / name / "1.png")
    with pytest.raises(DataError, match=r"has 2 classes .* tells 10 apart"):
        binarize.evaluate(path, data_dir=tmp_path / "images", workers=0)


def test_a_run_that_was_never_trained_has_no_images(tmp_path):
    path = make_run(tmp_path / "run")
    write_info(path, Run(path).info.replace(data={}, classes=[]))
    with pytest.raises(DataError, match="not trained on any data set") as error:
        binarize.evaluate(path)
    assert "--data-dir" in error.value.hint


def test_what_is_no_target(tmp_path):
    with pytest.raises(RunError, match="no run and no ONNX file"):
        find([tmp_path / "nothing"])
    with pytest.raises(RunError, match="not a run"):
        find([tmp_path])
    with pytest.raises(ExportError, match="no file"):
        find([tmp_path / "nothing.onnx"])
