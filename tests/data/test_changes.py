"""Random changes in torch: equal to timm's where nothing is random, and as often and as far as they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from timm.data.random_erasing import RandomErasing

from binarize.data import changes, transforms
from binarize.data.changes import BatchChanges
from binarize.recipe import Augment

PREPROCESS = {
    "img_size": 12,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.4],
    "interpolation": "bilinear",
    "crop_pct": 1.0,
}
ALMOST_ONE = 1 - 2**-24


def noise(images: int = 5, height: int = 12, width: int = 12) -> torch.Tensor:
    return torch.randint(0, 256, (images, height, width, 3), dtype=torch.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def changed(pixels: torch.Tensor, augment: Augment | None, size: int = 12) -> torch.Tensor:
    """All of `pixels`, in order."""
    batch = BatchChanges({**PREPROCESS, "img_size": size}, augment)
    frame = (0, 0, batch.padding, batch.padding, batch.padding, batch.padding)
    framed = torch.nn.functional.pad(pixels, frame)
    return batch(framed, torch.arange(len(pixels)), batch.numbers(len(pixels), generator()))


def one_by_one(transform: object, pixels: torch.Tensor) -> torch.Tensor:
    return torch.stack([transform(Image.fromarray(image)) for image in pixels.numpy()])


def test_without_changes_it_is_the_numpy_one_to_the_bit() -> None:
    pixels = noise()
    before = pixels.clone()
    whole = changed(pixels, None)
    other = transforms.BatchTransform(PREPROCESS)(pixels.permute(0, 3, 1, 2).numpy())
    assert whole.dtype == torch.float32
    assert whole.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(whole, other)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize(
    "augment", [{}, {"hflip": 1.0}, {"vflip": 1.0}, {"hflip": 1.0, "vflip": 1.0}]
)
def test_what_is_certain_is_what_timm_does(augment: dict) -> None:
    pixels, chosen = noise(), Augment(**augment)
    each = one_by_one(transforms.train_transform(chosen, PREPROCESS), pixels)
    torch.testing.assert_close(changed(pixels, chosen), each)


@given(st.integers(1, 4), st.integers(1, 7), st.integers(0, 3), st.data())
def test_a_cut_is_a_window(images: int, size: int, pad: int, draw: st.DataObject) -> None:
    framed = noise(images, size + 2 * pad, size + 2 * pad)
    wanted = draw.draw(st.lists(st.integers(0, images - 1), min_size=1, max_size=6))
    places = st.lists(st.integers(0, 2 * pad), min_size=len(wanted), max_size=len(wanted))
    top, left, upside = (torch.tensor(draw.draw(places)) for _ in range(3))
    upside = upside % 2 == 1
    batch = changes.cut(framed, torch.tensor(wanted), top, left, upside, size)
    for one, image, y, x, reverse in zip(batch, wanted, top, left, upside, strict=True):
        window = framed[image, y : y + size, x : x + size]
        assert torch.equal(one, window.flip(0) if reverse else window)


def test_crops_reach_every_place_and_differ_within_a_batch() -> None:
    marked = torch.zeros(2000, 5, 5, 3, dtype=torch.uint8)
    marked[:, 2, 2] = 255
    batch = changed(marked, Augment(crop_padding=2), size=5)
    places = batch[:, 0].reshape(2000, -1).argmax(1)
    assert torch.bincount(places, minlength=25).min() > 40  # 80 expected


@pytest.mark.parametrize("places", [1, 3, 9, 33])
def test_a_place_is_never_beyond_the_last(places: int) -> None:
    uniform = torch.tensor([0.0, 0.5, ALMOST_ONE])
    assert changes.place(uniform, places).tolist() == [0, places // 2, places - 1]
    assert changes.place(uniform, torch.tensor(places)).max() == places - 1


@pytest.mark.parametrize(("name", "axis"), [("hflip", 3), ("vflip", 2)])
def test_flips_hit_their_share(name: str, axis: int) -> None:
    pixels = noise(2000)
    plain, flipped = changed(pixels, None), changed(pixels, Augment(**{name: 0.3}))
    same = (flipped == plain).flatten(1).all(1)
    mirrored = (flipped == plain.flip(axis)).flatten(1).all(1)
    assert bool((same ^ mirrored).all())
    assert 0.25 < mirrored.float().mean() < 0.35


def test_flips_and_crops_are_drawn_apart() -> None:
    numbers = BatchChanges(PREPROCESS, Augment(re_prob=0.1)).numbers(4000, generator())
    assert len(numbers) == 27
    assert (torch.corrcoef(numbers) - torch.eye(27)).abs().max() < 0.1


def test_erasing() -> None:
    pixels = noise(400)
    plain, erased = changed(pixels, None), changed(pixels, Augment(re_prob=0.5))
    gone = (erased != plain).any(1)
    assert 150 < int(gone.flatten(1).any(1).sum()) < 250
    assert not erased[erased != plain].any()


def test_what_is_erased_is_a_rectangle_of_timms_sizes() -> None:
    numbers = torch.rand(27, 4000, generator=generator())
    masks = changes.erased(numbers, 1.0, 32)
    high, wide = masks.any(2).sum(1), masks.any(1).sum(1)
    assert torch.equal(masks.sum((1, 2)), high * wide)
    torch.manual_seed(0)
    timms = RandomErasing(1.0, device="cpu")(torch.ones(2000, 1, 32, 32))[:, 0] == 0
    ours, theirs = (np.sort(m.float().mean((1, 2)).numpy()) for m in (masks, timms))
    quantiles = np.linspace(0.05, 0.95, 10)
    np.testing.assert_allclose(
        np.quantile(ours, quantiles), np.quantile(theirs, quantiles), atol=0.015
    )
    middles = [(m.float().mean(0) - 0.17).abs().mean() for m in (masks, timms)]
    assert abs(middles[0] - middles[1]) < 0.02
    assert not changes.erased(numbers, 0.0, 32).any()
