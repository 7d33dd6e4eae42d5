"""Transforms equal timm's where nothing is random, and do what was drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform

from binarize.data import transforms
from binarize.data.draws import draw
from binarize.errors import DataError
from binarize.recipe import Augment
from binarize.run import Preprocess

PREPROCESS = Preprocess(
    img_size=12,
    mean=[0.5, 0.4, 0.3],
    std=[0.2, 0.3, 0.4],
    interpolation="bilinear",
    crop_pct=1.0,
)


def noise(images: int = 5, height: int = 12, width: int = 12) -> np.ndarray:
    return torch.randint(0, 256, (images, 3, height, width), dtype=torch.uint8).numpy()


def one_by_one(transform: object, pixels: np.ndarray) -> torch.Tensor:
    return torch.stack(
        [transform(Image.fromarray(image)) for image in pixels.transpose(0, 2, 3, 1)]
    )


def trained(augment: dict, image: Image.Image, preprocess: Preprocess = PREPROCESS) -> np.ndarray:
    """One image as training sees it, before it is normalised: uint8 [12, 12, 3]."""
    chosen = Augment(**augment)
    drawn = draw(chosen, (12, 12), 0, np.array([3]))
    return np.asarray(transforms.ImageTransform(chosen, preprocess)(image, drawn, 0))


def channels_first(image: np.ndarray) -> np.ndarray:
    return image.transpose(2, 0, 1)


def test_the_test_transform_of_a_batch() -> None:
    pixels = noise()
    before = pixels.copy()
    whole = transforms.BatchTransform(PREPROCESS)(pixels)
    each = one_by_one(transforms.test_transform(PREPROCESS), pixels)
    assert whole.dtype == torch.float32
    assert whole.is_contiguous()
    torch.testing.assert_close(whole, each)
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize(
    "augment", [{}, {"hflip": 1.0}, {"vflip": 1.0}, {"hflip": 1.0, "vflip": 1.0}]
)
def test_what_is_certain_is_what_timm_does(augment: dict) -> None:
    image = Image.fromarray(noise(1)[0].transpose(1, 2, 0))
    given = {
        "scale": (1.0, 1.0),
        "ratio": (1.0, 1.0),
        "hflip": 0.0,
        "color_jitter": None,
        **augment,
    }
    timms = create_transform(12, is_training=True, mean=[0.0] * 3, std=[1 / 255] * 3, **given)
    np.testing.assert_allclose(channels_first(trained(augment, image)), timms(image), rtol=1e-6)


@given(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7), st.integers(0, 3))
def test_a_crop_is_the_window_that_was_drawn(n: int, height: int, width: int, pad: int) -> None:
    pixels = noise(n, height, width)
    drawn = draw(Augment(crop_padding=pad), (12, 12), n, np.arange(n))
    cropped = transforms.crop(pixels, pad, drawn)
    assert cropped.shape == pixels.shape
    for number, image in enumerate(pixels):
        around = np.pad(image, ((0, 0), (pad, pad), (pad, pad)))
        y, x = (int(share[number] * (2 * pad + 1)) for share in (drawn.top, drawn.left))
        assert np.array_equal(cropped[number], around[:, y : y + height, x : x + width])


def test_crops_reach_every_place_and_differ_within_a_batch() -> None:
    marked = np.zeros((2000, 1, 5, 5), np.uint8)
    marked[:, :, 2, 2] = 1
    drawn = draw(Augment(crop_padding=2), (5, 5), 0, np.arange(2000))
    places = transforms.crop(marked, 2, drawn).reshape(2000, -1).argmax(1)
    assert np.bincount(places, minlength=25).min() > 40  # 80 expected


@pytest.mark.parametrize("size", [(12, 12), (30, 17), (9, 40)])
def test_crops_of_one_image_reach_every_place(size: tuple[int, int]) -> None:
    image = Image.fromarray(np.full((size[1], size[0], 3), 200, np.uint8))
    each = transforms.ImageTransform(Augment(crop_padding=2), PREPROCESS)
    drawn = draw(Augment(crop_padding=2), (12, 12), 0, np.arange(300))
    crops = [np.asarray(each(image, drawn, number))[..., 0] for number in range(300)]
    assert {crop.shape for crop in crops} == {(12, 12)}
    edges = np.stack([[(crop[6] == 0).argmin(), (crop[:, 6] == 0).argmin()] for crop in crops])
    assert edges.min(0).tolist() == [0, 0]
    assert edges.max(0).tolist() == [2, 2]


@pytest.mark.parametrize("axis", [-1, -2])
def test_flips_mirror_the_chosen(axis: int) -> None:
    before, chosen = noise(4), np.array([True, False, True, False])
    after = before.copy()
    transforms.flip(after, chosen, axis)
    assert np.array_equal(after[~chosen], before[~chosen])
    assert np.array_equal(after[chosen], np.flip(before[chosen], axis))


def test_erasing() -> None:
    pixels = noise(3)
    box = np.array([[0, 0, 0, 0], [2, 5, 1, 12], [0, 11, 3, 4]])
    plain, erased = (transforms.BatchTransform(PREPROCESS)(pixels, b) for b in (None, box))
    for image, before, (top, bottom, left, right) in zip(erased, plain, box, strict=True):
        assert not image[:, top:bottom, left:right].any()
        before[:, top:bottom, left:right] = 0
        assert torch.equal(image, before)


@pytest.mark.parametrize(
    "augment",
    [
        {"scale": [0.5, 1.0], "hflip": 0.5},
        {"crop_padding": 2, "hflip": 0.5, "vflip": 0.5},
        {"color_jitter": 0.4},
        {"auto_augment": "rand-m9-mstd0.5", "crop_padding": 2},
        {"re_prob": 0.5},
        {},
    ],
)
@pytest.mark.parametrize("size", [(12, 12), (30, 17), (9, 40)])
def test_the_train_transform_takes_any_size(augment: dict, size: tuple[int, int]) -> None:
    image = trained(augment, Image.new("RGB", size, (200, 100, 50)))
    assert image.shape == (12, 12, 3)
    assert image.dtype == np.uint8


def test_scale_cuts_out_a_part_and_its_absence_does_not() -> None:
    halves = Image.new("RGB", (12, 12))
    halves.paste((255, 255, 255), (6, 0, 12, 12))
    assert np.array_equal(trained({}, halves), np.asarray(halves))
    cuts = [trained({"scale": [0.05, 0.1]}, halves) for _ in range(5)]
    assert any(not np.array_equal(cut, halves) for cut in cuts)


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_interpolations(name: str) -> None:
    changed = PREPROCESS.replace(interpolation=name)
    image = Image.new("RGB", (31, 20))
    assert transforms.test_transform(changed)(image).shape == (3, 12, 12)
    assert trained({}, image, changed).shape == (12, 12, 3)


@pytest.mark.parametrize(
    ("side", "crop_pct", "expected"),
    [
        ((12, 12), 1.0, False),
        ((12, 12), 0.95, False),
        ((12, 12), 0.875, True),
        ((8, 12), 1.0, True),
    ],
)
def test_what_is_resized(side: tuple[int, int], crop_pct: float, expected: bool) -> None:
    assert transforms.resizes(side, PREPROCESS.replace(crop_pct=crop_pct)) is expected


def test_what_a_batch_can_do() -> None:
    assert transforms.one_by_one(Augment(hflip=0.5, vflip=0.1, crop_padding=4, re_prob=0.2)) is None
    for hard in ({"scale": [0.1, 1.0]}, {"color_jitter": 0.1}, {"auto_augment": "rand-m9"}):
        assert transforms.one_by_one(Augment(**hard)) == next(iter(hard))


@pytest.mark.parametrize("policy", ["*", "zzz"])
def test_a_policy_that_timm_does_not_know_is_refused(policy: str) -> None:
    with pytest.raises(DataError, match="timm has no augmentation") as refusal:
        transforms.check_policy(Augment(auto_augment=policy))
    assert refusal.value.hint


@pytest.mark.parametrize("policy", [None, "rand-m9-mstd0.5", "augmix-m3", "original"])
def test_a_policy_of_timm_is_taken(policy: str | None) -> None:
    transforms.check_policy(Augment(auto_augment=policy))
