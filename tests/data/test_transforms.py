"""Whole-batch transforms equal timm's image by image, and random ones do what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from binarize.data import transforms
from binarize.recipe import Augment

PREPROCESS = {
    "img_size": 12,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.4],
    "interpolation": "bilinear",
    "crop_pct": 1.0,
}


def noise(images: int = 5, height: int = 12, width: int = 12) -> np.ndarray:
    return torch.randint(0, 256, (images, 3, height, width), dtype=torch.uint8).numpy()


def one_by_one(transform: object, pixels: np.ndarray) -> torch.Tensor:
    return torch.stack(
        [transform(Image.fromarray(image)) for image in pixels.transpose(0, 2, 3, 1)]
    )


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
def test_the_train_transform_of_a_batch(augment: dict) -> None:
    pixels, chosen = noise(), Augment(**augment)
    whole = transforms.BatchTransform(PREPROCESS, chosen)(pixels)
    torch.testing.assert_close(
        whole, one_by_one(transforms.train_transform(chosen, PREPROCESS), pixels)
    )


@given(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7), st.integers(0, 3))
def test_a_crop_is_a_window_of_the_padded_image(n: int, height: int, width: int, pad: int) -> None:
    pixels = noise(n, height, width)
    cropped = transforms.random_crop(pixels, pad)
    assert cropped.shape == pixels.shape
    for image, original in zip(cropped, pixels, strict=True):
        around = np.pad(original, ((0, 0), (pad, pad), (pad, pad)))
        places = [(y, x) for y in range(2 * pad + 1) for x in range(2 * pad + 1)]
        windows = [around[:, y : y + height, x : x + width] for y, x in places]
        assert any(np.array_equal(image, window) for window in windows)


def test_crops_reach_every_place_and_differ_within_a_batch() -> None:
    marked = np.zeros((2000, 1, 5, 5), np.uint8)
    marked[:, :, 2, 2] = 1
    places = transforms.random_crop(marked, 2).reshape(2000, -1).argmax(1)
    assert np.bincount(places, minlength=25).min() > 40  # 80 expected


@pytest.mark.parametrize("axis", [-1, -2])
def test_flips_hit_their_share(axis: int) -> None:
    marked = np.broadcast_to(np.arange(4, dtype=np.uint8), (2000, 3, 4, 4)).swapaxes(-1, axis)
    flipped = transforms.random_flip(marked, 0.3, axis)
    mirrored = flipped[:, 0, 0, 0] == 3
    assert np.array_equal(flipped[~mirrored], marked[~mirrored])
    assert np.array_equal(flipped[mirrored], np.flip(marked[mirrored], axis))
    assert 0.25 < mirrored.mean() < 0.35


def test_erasing() -> None:
    pixels = noise(64)
    plain = transforms.BatchTransform(PREPROCESS)(pixels)
    erased = transforms.BatchTransform(PREPROCESS, Augment(re_prob=0.5))(pixels)
    touched = (erased != plain).flatten(1).any(1)
    assert 10 < int(touched.sum()) < 54
    assert not erased[erased != plain].any()


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
    transform = transforms.train_transform(Augment(**augment), PREPROCESS)
    tensor = transform(Image.new("RGB", size, (200, 100, 50)))
    assert tensor.shape == (3, 12, 12)
    assert torch.isfinite(tensor).all()


def test_scale_cuts_out_a_part_and_its_absence_does_not() -> None:
    halves = Image.new("RGB", (12, 12))
    halves.paste((255, 255, 255), (6, 0, 12, 12))
    whole = transforms.train_transform(Augment(), PREPROCESS)(halves)
    torch.testing.assert_close(whole, transforms.test_transform(PREPROCESS)(halves))
    cut = transforms.train_transform(Augment(scale=[0.05, 0.1]), PREPROCESS)
    assert any(not torch.equal(cut(halves), whole) for _ in range(5))


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_interpolations(name: str) -> None:
    changed = {**PREPROCESS, "interpolation": name}
    image = Image.new("RGB", (31, 20))
    assert transforms.test_transform(changed)(image).shape == (3, 12, 12)
    assert transforms.train_transform(Augment(), changed)(image).shape == (3, 12, 12)


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
    assert transforms.resizes(side, {**PREPROCESS, "crop_pct": crop_pct}) is expected


def test_what_a_batch_can_do() -> None:
    assert transforms.one_by_one(Augment(hflip=0.5, vflip=0.1, crop_padding=4, re_prob=0.2)) is None
    for hard in ({"scale": [0.1, 1.0]}, {"color_jitter": 0.1}, {"auto_augment": "rand-m9"}):
        assert transforms.one_by_one(Augment(**hard)) == next(iter(hard))
