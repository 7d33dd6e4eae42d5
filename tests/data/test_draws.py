"""The random numbers of an image: from the seed and its index alone, uniform, independent, and used alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.data.random_erasing import RandomErasing

from binarize.data import draws
from binarize.data.draws import draw, place, uniform
from binarize.recipe import Augment

EVERYTHING = Augment(hflip=0.5, vflip=0.3, crop_padding=2, re_prob=0.4)
SEEDS = st.integers(0, 2**62 - 1)
ALMOST_ONE = np.float32(1 - 2**-24)
MASK = 2**64 - 1


def split_mix(seed: int, number: int) -> int:
    """Member `number` of the stream of that seed, as the paper's authors publish it in C."""
    z = (seed + (number + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_the_generator_is_the_published_one() -> None:
    assert split_mix(1234567, 0) == 6457827717110365317  # the first of its published sequence


@given(SEEDS, st.integers(0, 2**31), st.integers(0, 26))
def test_numbers_are_members_of_that_stream(seed: int, index: int, row: int) -> None:
    found = uniform(seed, np.array([index]), [row])
    assert found.dtype == np.float32
    assert found[0, 0] * 2**24 == split_mix(seed, 32 * index + row) >> 40


@given(SEEDS, st.permutations(range(40)), st.integers(1, 39))
def test_an_image_does_not_see_the_others(seed: int, order: list[int], cut: int) -> None:
    index = np.array(order)
    whole = draw(EVERYTHING, (32, 32), seed, index)
    shares = [draw(EVERYTHING, (32, 32), seed, part) for part in (index[:cut], index[cut:])]
    for name in ("top", "left", "hflip", "vflip", "box"):
        joined = np.concatenate([getattr(share, name) for share in shares])
        assert np.array_equal(joined, getattr(whole, name))


def test_numbers_are_uniform_and_independent() -> None:
    numbers = uniform(2**61 + 5, np.arange(20000), range(27))
    counts = np.stack([np.histogram(row, bins=20, range=(0, 1))[0] for row in numbers])
    chi_squared = ((counts - 1000) ** 2 / 1000).sum(1)
    assert chi_squared.max() < 55  # 19 degrees of freedom: 1 in 40,000 is above
    assert np.abs(np.corrcoef(numbers) - np.eye(27)).max() < 0.04
    neighbours = [np.corrcoef(row[:-1], row[1:])[0, 1] for row in numbers]
    assert np.abs(neighbours).max() < 0.04


def test_two_passes_have_nothing_in_common() -> None:
    first, second = (uniform(seed, np.arange(5000), range(27)) for seed in (7, 8))
    assert np.abs(np.corrcoef(first, second)[:27, 27:]).max() < 0.08


@pytest.mark.parametrize("places", [1, 3, 9, 33])
def test_a_place_is_never_beyond_the_last(places: int) -> None:
    numbers = np.array([0.0, 0.5, ALMOST_ONE], np.float32)
    assert place(numbers, places).tolist() == [0, places // 2, places - 1]
    assert place(numbers, np.array(places)).max() == places - 1
    assert int(place(ALMOST_ONE, places)) == places - 1


@pytest.mark.parametrize("name", ["hflip", "vflip"])
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_flips_hit_their_share(name: str, probability: float) -> None:
    drawn = draw(Augment(**{name: probability}), (32, 32), 3, np.arange(10000))
    assert abs(getattr(drawn, name).mean() - probability) <= 0.02 * (0 < probability < 1)
    assert not getattr(drawn, {"hflip": "vflip", "vflip": "hflip"}[name]).any()


def test_erasing_hits_its_share() -> None:
    box = draw(Augment(re_prob=0.3), (32, 32), 3, np.arange(10000)).box
    assert abs((box[:, 1] > 0).mean() - 0.3) < 0.02
    assert not draw(Augment(), (32, 32), 3, np.arange(10000)).box.any()


def test_what_is_erased_is_a_rectangle_of_timms_sizes() -> None:
    top, bottom, left, right = draw(Augment(re_prob=1.0), (32, 32), 1, np.arange(4000)).box.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert max(bottom.max(), right.max()) == 32
    assert min(top.min(), left.min()) == 0
    shares = (bottom - top) * (right - left) / 32**2
    timms = RandomErasing(1.0, device="cpu")(torch.ones(2000, 1, 32, 32))[:, 0] == 0
    theirs = timms.float().mean((1, 2)).numpy()
    quantiles = np.linspace(0.05, 0.95, 10)
    np.testing.assert_allclose(
        np.quantile(shares, quantiles), np.quantile(theirs, quantiles), atol=0.02
    )
    for middle, high, across in ((top + bottom, bottom - top, 2), (left + right, right - left, 1)):
        assert abs(middle.mean() / 2 - 16) < 0.4
        assert abs(high.mean() - timms.any(across).sum(1).float().mean()) < 0.5


@given(SEEDS, st.integers(1, 8), st.integers(1, 8))
def test_small_images_are_never_erased_whole(seed: int, height: int, width: int) -> None:
    sides = height, width
    top, bottom, left, right = draw(Augment(re_prob=1.0), sides, seed, np.arange(50)).box.T
    erased = bottom > 0
    assert (bottom - top < height)[erased].all()
    assert (right - left < width)[erased].all()
    assert bottom.max() <= height
    assert right.max() <= width


def test_no_number_is_used_twice() -> None:
    rows = [*range(draws.VFLIP + 1), draws.ERASE, *draws._ERASING]
    assert sorted(rows) == list(range(len(rows)))
    assert max(rows) < draws.PER_IMAGE
