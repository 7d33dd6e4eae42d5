"""Random changes in torch: cut, mirrored and erased as the draws say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from binarize.data import changes, transforms
from binarize.data.changes import BatchChanges
from binarize.recipe import Augment
from binarize.run import Preprocess

PREPROCESS = Preprocess(
    img_size=12,
    mean=[0.5, 0.4, 0.3],
    std=[0.2, 0.3, 0.4],
    interpolation="bilinear",
    crop_pct=1.0,
)


def noise(images: int = 5, height: int = 12, width: int = 12) -> torch.Tensor:
    return torch.randint(0, 256, (images, height, width, 3), dtype=torch.uint8)


def changed(pixels: torch.Tensor, augment: Augment | None, size: int = 12) -> torch.Tensor:
    """All of `pixels`, in order."""
    batch = BatchChanges(PREPROCESS.replace(img_size=size), augment)
    frame = (0, 0, batch.padding, batch.padding, batch.padding, batch.padding)
    framed = torch.nn.functional.pad(pixels, frame)
    index = torch.arange(len(pixels))
    return batch(framed, index, batch.table(0, index.numpy()))


def test_without_changes_it_is_the_numpy_one_to_the_bit() -> None:
    pixels = noise()
    before = pixels.clone()
    whole = changed(pixels, None)
    other = transforms.BatchTransform(PREPROCESS)(pixels.permute(0, 3, 1, 2).numpy())
    assert whole.dtype == torch.float32
    assert whole.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(whole, other)
    assert torch.equal(pixels, before)


@given(st.integers(1, 4), st.tuples(*[st.integers(1, 7)] * 2), st.integers(0, 3), st.data())
def test_a_cut_is_a_window(
    images: int, sides: tuple[int, int], pad: int, draw: st.DataObject
) -> None:
    height, width = sides
    framed = noise(images, height + 2 * pad, width + 2 * pad)
    wanted = draw.draw(st.lists(st.integers(0, images - 1), min_size=1, max_size=6))
    places = st.lists(st.integers(0, 2 * pad), min_size=len(wanted), max_size=len(wanted))
    top, left, upside = (torch.tensor(draw.draw(places)) for _ in range(3))
    upside = upside % 2 == 1
    batch = changes.cut(framed, torch.tensor(wanted), top, left, upside, sides)
    for one, image, y, x, reverse in zip(batch, wanted, top, left, upside, strict=True):
        window = framed[image, y : y + height, x : x + width]
        assert torch.equal(one, window.flip(0) if reverse else window)


def test_crops_reach_every_place_and_differ_within_a_batch() -> None:
    marked = torch.zeros(2000, 5, 5, 3, dtype=torch.uint8)
    marked[:, 2, 2] = 255
    batch = changed(marked, Augment(crop_padding=2), size=5)
    places = batch[:, 0].reshape(2000, -1).argmax(1)
    assert torch.bincount(places, minlength=25).min() > 40  # 80 expected


@pytest.mark.parametrize(("name", "axis"), [("hflip", 3), ("vflip", 2)])
def test_flips_hit_their_share(name: str, axis: int) -> None:
    pixels = noise(2000)
    plain, flipped = changed(pixels, None), changed(pixels, Augment(**{name: 0.3}))
    same = (flipped == plain).flatten(1).all(1)
    mirrored = (flipped == plain.flip(axis)).flatten(1).all(1)
    assert bool((same ^ mirrored).all())
    assert 0.25 < mirrored.float().mean() < 0.35


def test_erasing() -> None:
    pixels = noise(400)
    plain, erased = changed(pixels, None), changed(pixels, Augment(re_prob=0.5))
    gone = (erased != plain).any(1)
    assert 150 < int(gone.flatten(1).any(1).sum()) < 250
    assert not erased[erased != plain].any()
