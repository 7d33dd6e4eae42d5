"""What a file is compared on, and that a file of another model does not pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import binarize
from binarize.errors import ExportError
from binarize.exporting import exporting
from binarize.exporting.images import Images, images_for
from binarize.exporting.subject import Subject, open_subject
from binarize.exporting.validate import Validation, validate
from binarize.run import DataRecord, Run


@pytest.fixture(scope="module")
def subject() -> Subject:
    torch.manual_seed(0)
    return open_subject(
        binarize.convert("cifar_resnet20", pretrained=False, model_args={"blocks": 1}).eval()
    )


@pytest.fixture(scope="module")
def file(subject: Subject, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("validation") / "model.onnx"
    binarize.export(subject.model, path)
    return path


def trained_on(subject: Subject, **data: str) -> Subject:
    return replace(subject, info=subject.info.replace(data=DataRecord(**data)))


@pytest.mark.parametrize(
    ("images", "batches"), [(6, [1, 2, 3]), (7, [1, 2, 3, 1]), (72, [1, 2, 3, 32, 32, 2])]
)
def test_the_first_batches_are_of_one_two_and_three_images(images: int, batches: list[int]) -> None:
    given = Images(torch.arange(images).reshape(-1, 1), "numbers")
    assert [len(batch) for batch in given.batches()] == batches
    assert torch.equal(torch.cat(list(given.batches())), given.pixels)


def test_test_images_are_taken_where_they_are_at_hand(subject: Subject) -> None:
    images = images_for(trained_on(subject, name="digits"))
    assert images.description == "32 test images of digits"
    assert images.pixels.shape == (32, 3, 32, 32)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"name": "cifar10"},
        {"name": "cifar10", "dir": "not there"},
        {"name": "folder", "dir": "."},
        {"name": "torch/mnist"},
    ],
)
def test_else_noise_and_never_a_download(
    subject: Subject, data: dict[str, str], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = images_for(trained_on(subject, **data)), images_for(subject)
    assert first.description == "6 images of seeded noise"
    assert torch.equal(first.pixels, second.pixels)
    assert list(tmp_path.iterdir()) == []


def test_data_of_other_classes_are_not_test_images(subject: Subject) -> None:
    other = subject.info.replace(data=DataRecord(name="digits"), classes=["cat", "dog"])
    assert "noise" in images_for(replace(subject, info=other)).description


def test_the_file_of_a_model_passes_and_that_of_another_does_not(subject, file: Path) -> None:
    images = images_for(subject)
    own = validate(file, subject.model, images)
    assert own.passed
    assert own.images == 6
    assert own.top1_agreement == 100
    torch.manual_seed(1)
    other = binarize.convert("cifar_resnet20", pretrained=False, model_args={"blocks": 1}).eval()
    assert not validate(file, other, images).passed


def test_a_slight_difference_does_not_pass(subject: Subject, file: Path, monkeypatch) -> None:
    bias = subject.model.fc.bias
    monkeypatch.setattr(bias, "data", bias.data + 1e-3)
    assert not validate(file, subject.model, images_for(subject)).passed


@pytest.mark.parametrize(("difference", "passes"), [(0.0, True), (2e-4, True), (2.1e-4, False)])
def test_the_tolerance_is_relative_to_the_logits(difference: float, passes: bool) -> None:
    assert Validation(4, "noise", difference, 2.0, 100.0).passed is passes


@pytest.mark.parametrize("difference", [float("nan"), float("inf")])
def test_no_number_is_no_match(difference: float) -> None:
    assert not Validation(4, "noise", difference, 2.0, 100.0).passed


def test_a_model_with_other_classes_is_told_apart(subject: Subject, file: Path) -> None:
    other = binarize.convert(
        "cifar_resnet20", pretrained=False, num_classes=3, model_args={"blocks": 1}
    ).eval()
    with pytest.raises(ExportError, match=r"\[6, 10\] where the model answers with \[6, 3\]"):
        validate(file, other, images_for(subject))


def test_the_size_of_images_comes_from_the_conversion_or_the_caller() -> None:
    model = binarize.convert("cifar_resnet20", pretrained=False, img_size=24)
    assert open_subject(model).size == (3, 24, 24)
    assert open_subject(model, 40).size == (3, 40, 40)
    assert open_subject(torch.nn.Conv2d(1, 2, 3)).size == (1, 224, 224)


def test_a_run_has_its_own_size_and_opset(tmp_path: Path) -> None:
    from binarize import api
    from binarize.rewrite import Options, SourceOptions

    api.convert_to_run(
        "cifar_resnet20", Options(), SourceOptions(pretrained=False), out=tmp_path / "run"
    )
    with pytest.raises(ExportError, match="fixed size"):
        open_subject(tmp_path / "run", 64)
    assert open_subject(tmp_path / "run").wish("opset") is None
    (tmp_path / "run/recipe.resolved.yaml").write_text("version: 1\nexport:\n  opset: 19\n")
    opened = open_subject(Run(tmp_path / "run"))
    assert opened.wish("opset") == 19
    assert exporting.describe(opened, "packed").recipe == opened.recipe
