"""Calibration of a converted model: on which images, in which mode, and what is said of it."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import binarize
from binarize.errors import BinarizeError, DataError
from binarize.layers import binary_inputs
from binarize.rewrite import CalibrationImages, Options, SourceOptions, convert_float, open_float
from binarize.rewrite.calibration import BATCH, NOISE, calibrate_part
from binarize.rewrite.model_part import ModelPart

SIDE = 8
STEP = Options(activations="step", stem="keep")


def network(channels: int = 3) -> nn.Module:
    """Two binary convolutions between the first and the classifier; the same weights at every call."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def converted(images: CalibrationImages | None, options: Options = STEP, model=None):
    float_model = open_float(model or network(), SourceOptions(img_size=SIDE))
    return convert_float(float_model, options, images=images, values=False)


def thresholds(model: nn.Module) -> torch.Tensor:
    return torch.cat([binarizer.boundary.detach() for _, binarizer in binary_inputs(model)])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """The same five images as class folders, flat, as a tar, and as a data set with splits."""
    root, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(5):
        image = Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8))
        for place in ("classes/" + "ab"[number // 3], "flat", "splits/train/only"):
            (root / place).mkdir(parents=True, exist_ok=True)
            image.save(root / place / f"{number}.png")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(root / "test.png")
    (root / "splits/test/only").mkdir(parents=True)
    (root / "test.png").rename(root / "splits/test/only/9.png")
    with tarfile.open(root / "all.tar", "w") as tar:
        tar.add(root / "classes", arcname=".")
    (root / "empty").mkdir()
    return root


@pytest.mark.parametrize("place", ["flat", "all.tar", "splits"])
def test_it_reads_folders_tars_and_training_images(pictures: Path, place: str) -> None:
    expected = converted(CalibrationImages(pictures / "classes", 32))
    found = converted(CalibrationImages(pictures / place, 32))
    assert found.calibration is not None
    assert found.calibration.images == 5
    torch.testing.assert_close(
        thresholds(found.conversion.model), thresholds(expected.conversion.model)
    )


def test_images_come_as_the_run_takes_them(pictures: Path) -> None:
    result = converted(None)
    fed: list[torch.Tensor] = []
    result.conversion.model.register_forward_pre_hook(lambda _, args: fed.append(args[0]))
    preprocess = result.info.preprocess.replace(mean=[0.0] * 3, std=[0.5] * 3)
    part = ModelPart(result.conversion.model, (3, SIDE, SIDE))
    calibrate_part(part, preprocess, CalibrationImages(pictures / "flat", 1))
    first = Image.open(pictures / "flat" / "0.png")
    side = int(SIDE / preprocess.crop_pct)
    pixels = np.asarray(first.resize((side, side), Image.Resampling.BILINEAR), np.float32) / 255
    torch.testing.assert_close(
        fed[0][0], torch.from_numpy(pixels).permute(2, 0, 1) / 0.5, atol=0.02, rtol=0
    )


def test_at_most_so_many_images_in_small_batches(pictures: Path) -> None:
    result = converted(None)
    sizes: list[int] = []
    result.conversion.model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    part = ModelPart(result.conversion.model, (3, SIDE, SIDE))
    preprocess = result.info.preprocess
    of_noise = calibrate_part(part, preprocess, CalibrationImages(count=2 * BATCH + 3))
    assert (of_noise.images, sizes) == (2 * BATCH + 3, [BATCH, BATCH, 3])
    of_folder = calibrate_part(part, preprocess, CalibrationImages(pictures / "flat", 2))
    assert (of_folder.images, sizes[3:]) == (2, [2])


def test_without_a_folder_it_is_seeded_noise_and_says_so() -> None:
    first, second = converted(CalibrationImages()), converted(CalibrationImages())
    assert torch.equal(thresholds(first.conversion.model), thresholds(second.conversion.model))
    assert first.calibration is not None
    assert first.calibration.source == NOISE
    assert "no --calib-data" in first.calibration.description
    assert "train calibrates again" in first.calibration.description


def test_in_eval_mode_and_the_model_stays_as_it_was() -> None:
    result = converted(None)
    model = result.conversion.model.train()
    model[1].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes: list[bool] = []
    model[0].register_forward_pre_hook(lambda module, _: modes.append(module.training))
    calibrate_part(
        ModelPart(model, (3, SIDE, SIDE)), result.info.preprocess, CalibrationImages(count=4)
    )
    assert modes == [False]
    assert [module.training for module in model][:3] == [True, False, True]
    changed = {key for key, v in model.state_dict().items() if not torch.equal(before[key], v)}
    assert changed
    assert all(".inputs." in key for key in changed)


def test_a_layer_that_gets_one_value_is_named() -> None:
    dead = network()
    with torch.no_grad():
        dead[3].bias.fill_(-1000.0)
    found = converted(CalibrationImages(count=4), model=dead).calibration
    assert found is not None
    assert found.saturated == {"5": 1.0}
    assert found.as_json() == {"images": 4, "source": NOISE, "saturated": {"5": 1.0}}


def test_names_are_those_of_the_whole_model() -> None:
    whole = nn.ModuleDict({"backbone": network()})
    with torch.no_grad():
        whole["backbone"][3].bias.fill_(-1000.0)
    result = converted(None, replace(STEP, submodule="backbone"), whole)
    part = ModelPart(result.conversion.model, (3, SIDE, SIDE), "backbone")
    found = calibrate_part(part, result.info.preprocess, CalibrationImages(count=4))
    assert list(found.saturated) == ["backbone.5"]


def test_float_activations_are_not_calibrated() -> None:
    assert converted(CalibrationImages(), Options(stem="keep")).calibration is None
    assert converted(None).calibration is None


def test_what_cannot_be_read_is_said(pictures: Path) -> None:
    broken = pictures / "broken"
    broken.mkdir()
    (broken / "image.png").write_bytes(b"no image")
    for name, words in (
        ("missing", "does not exist"),
        ("empty", "holds no images"),
        ("broken", "cannot be read"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            converted(CalibrationImages(pictures / name))
        assert name in caught.value.message


def test_grey_networks_are_calibrated_on_noise_alone(pictures: Path) -> None:
    assert converted(CalibrationImages(count=2), model=network(1)).calibration is not None
    with pytest.raises(DataError, match="the model takes 1x8x8") as caught:
        converted(CalibrationImages(pictures / "flat"), model=network(1))
    assert "noise" in caught.value.hint


def test_the_python_face_calibrates_too(pictures: Path) -> None:
    options = {"activations": "sign", "img_size": SIDE, "stem": "keep"}
    on_noise = binarize.convert(network(), **options, calib_images=4)
    on_images = binarize.convert(network(), **options, calib_data=pictures / "flat", calib_steps=0)
    assert thresholds(on_noise).abs().min() > 0
    assert not torch.equal(thresholds(on_noise), thresholds(on_images))


@pytest.mark.parametrize("given", [{"calib_steps": 3}, {"calib_images": 4}])
def test_a_number_of_images_without_images_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(BinarizeError, match="there are none") as caught:
        binarize.convert(network(), img_size=SIDE, **given)
    assert "--calib-data DIR" in caught.value.hint
