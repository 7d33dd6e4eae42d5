"""Whole-batch transforms equal timm's image by image, and random ones do what they say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional as F

from binarize.data import transforms
from binarize.recipe import Augment

PREPROCESS = {
    "img_size": 12,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.4],
    "interpolation": "bilinear",
    "crop_pct": 1.0,
}


def noise(images: int = 5, height: int = 12, width: int = 12) -> torch.Tensor:
    return torch.randint(0, 256, (images, 3, height, width), dtype=torch.uint8)


def one_by_one(transform: object, pixels: torch.Tensor) -> torch.Tensor:
    pil = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in pixels]
    return torch.stack([transform(image) for image in pil])


def test_the_test_transform_of_a_batch() -> None:
    pixels = noise()
    whole = transforms.BatchTransform(PREPROCESS)(pixels)
    each = one_by_one(transforms.test_transform(PREPROCESS), pixels)
    assert whole.dtype == torch.float32
    torch.testing.assert_close(whole, each)


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
    padded = F.pad(pixels, (pad,) * 4)
    for image, around in zip(cropped, padded, strict=True):
        windows = around.unfold(1, height, 1).unfold(2, width, 1)
        equal = (windows == image[:, None, None]).flatten(3).all(3).all(0)
        assert equal.any()


def test_crops_reach_every_place_and_differ_within_a_batch() -> None:
    marked = torch.zeros(2000, 1, 5, 5, dtype=torch.uint8)
    marked[:, :, 2, 2] = 1
    places = transforms.random_crop(marked, 2).flatten(1).argmax(1)
    counts = torch.bincount(places, minlength=25)
    assert counts.min() > 40  # 80 expected


@pytest.mark.parametrize("dim", [-1, -2])
def test_flips_hit_their_share(dim: int) -> None:
    marked = torch.zeros(2000, 3, 4, 4)
    marked.select(dim, 0).fill_(1)
    flipped = transforms.random_flip(marked, 0.3, dim)
    mirrored = flipped.select(dim, -1).flatten(1).all(1)
    assert torch.equal(flipped[~mirrored], marked[~mirrored])
    assert torch.equal(flipped[mirrored], marked[mirrored].flip(dim))
    assert 0.25 < mirrored.float().mean() < 0.35


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
    assert transforms.is_simple(Augment(hflip=0.5, vflip=0.1, crop_padding=4, re_prob=0.2))
    for hard in ({"scale": [0.1, 1.0]}, {"color_jitter": 0.1}, {"auto_augment": "rand-m9"}):
        assert not transforms.is_simple(Augment(**hard))
