"""Images set aside: which, how many of each class, and that both parts together are the whole."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from image_folders import to_tar, write_images
from PIL import Image

from binarize import data
from binarize.data.holdout import held_out
from binarize.data.images import Images, labels_of
from binarize.errors import DataError
from binarize.recipe import Data
from binarize.run import Preprocess

PREPROCESS = Preprocess(
    img_size=32,
    mean=[0.5, 0.5, 0.5],
    std=[0.25, 0.25, 0.25],
    interpolation="bilinear",
    crop_pct=1.0,
)


def digits(holdout: int, **options: object) -> Data:
    given = {"name": "digits", "batch_size": 100, "workers": 0, "holdout": holdout, **options}
    return Data.model_validate(given)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.data())
def test_classes_give_alike(labels: list[int], draw: st.DataObject) -> None:
    count = draw.draw(st.integers(0, len(labels)))
    chosen = held_out(np.array(labels), count)
    assert len(set(chosen.tolist())) == len(chosen) == count
    assert chosen.tolist() == sorted(chosen)
    whole = np.bincount(labels, minlength=5)
    taken = np.bincount(np.array(labels)[chosen], minlength=5)
    # a class that gave fewer than another one by two or more has only its last image left
    for one in np.flatnonzero(whole):
        if taken[one] + 1 < taken.max():
            assert whole[one] - taken[one] <= 1
        if count <= (whole - 1).clip(0).sum():
            assert taken[one] < whole[one]


def test_the_choice_is_always_the_same() -> None:
    labels = np.arange(30) % 3
    torch.manual_seed(1)
    np.random.seed(1)
    assert (
        held_out(labels, 7).tolist() == held_out(labels, 7).tolist() == [2, 6, 13, 24, 26, 27, 28]
    )
    assert set(held_out(labels, 7)) < set(held_out(labels, 8))


def test_both_parts_are_the_whole() -> None:
    whole = data.open_dataset(digits(0), "train")
    kept = data.open_dataset(digits(500), "train")
    held = data.open_dataset(digits(500), "holdout")
    assert (len(kept), len(held)) == (937, 500)
    assert torch.bincount(held.labels).tolist() == [50] * 10
    both = torch.cat([kept.pixels, held.pixels]).flatten(1).numpy()
    rows = [np.unique(part, axis=0) for part in (both, whole.pixels.flatten(1).numpy())]
    assert np.array_equal(*rows)
    assert len(data.open_dataset(digits(500), "test")) == 360


@pytest.mark.parametrize("cache", [False, True])
def test_images_on_disk(tmp_path: Path, cache: bool) -> None:
    write_images(tmp_path / "loose" / "train", each=5)
    to_tar(write_images(tmp_path / "packed" / "train", each=5))
    parts = [
        data.open_dataset(
            Data(name="folder", dir=str(tmp_path / form), cache=cache, holdout=6, batch_size=4),
            part,
        )
        for form in ("loose", "packed")
        for part in ("train", "holdout")
    ]
    assert [len(part) for part in parts] == [9, 6, 9, 6]
    assert [part.labels.tolist() for part in parts[1::2]] == [[0, 0, 1, 1, 2, 2]] * 2
    shown = [{part[index][0].tobytes() for index in range(len(part))} for part in parts]
    assert shown[:2] == shown[2:]
    assert len(shown[0] | shown[1]) == 15


def test_loaders() -> None:
    config = digits(437, augment={"hflip": 1.0})
    assert len(data.train_loader(config, PREPROCESS)) == 10
    loader = data.val_loader(config, PREPROCESS, [str(digit) for digit in range(10)])
    images, labels = (torch.cat(parts) for parts in zip(*loader, strict=True))
    held = data.open_dataset(config, "holdout")
    assert torch.equal(labels, held.labels)
    torch.testing.assert_close(images, (held.pixels / 255 - 0.5) / 0.25)


def test_classes_reach_the_held_out_images() -> None:
    with pytest.raises(DataError, match="the model knows 2"):
        data.val_loader(digits(50), PREPROCESS, classes=["a", "b"])


@pytest.mark.parametrize(
    ("holdout", "words"),
    [
        (1437, "there are only 1437 training images"),
        (9999, "there are only 1437 training images"),
        (1400, "which leaves 37 of 1437, fewer than a batch"),
    ],
)
def test_too_many(holdout: int, words: str) -> None:
    for part in ("train", "holdout"):
        with pytest.raises(DataError, match=words) as caught:
            data.open_dataset(digits(holdout), part)
        assert "data.holdout=143" in caught.value.hint


def test_images_without_labels_are_set_aside_as_well(tmp_path: Path) -> None:
    write_images(tmp_path, ("a", "b"), each=20)
    config = Data(name="folder", dir=str(tmp_path), labels=False, holdout=5, batch_size=8)
    parts = [data.open_dataset(config, split) for split in ("train", "holdout", "test")]
    seen = [np.asarray(part[number][0]).tobytes() for part in parts for number in range(len(part))]
    assert [len(part) for part in parts] == [30, 5, 5]
    assert len(set(seen)) == 40


def test_a_share_is_of_at_least_one_image(tmp_path: Path) -> None:
    write_images(tmp_path / "train", ("a", "b"), each=20)
    for share, count in ((0.25, 10), (0.001, 1), (0.5, 20)):
        config = Data(name="folder", dir=str(tmp_path), holdout=share, batch_size=8)
        assert len(data.open_dataset(config, "holdout")) == count
        assert len(data.open_dataset(config, "train")) == 40 - count
    for wrong in (1.0, 1.5, -0.5, -1, True, "0.2"):
        with pytest.raises(ValueError, match="holdout"):
            Data(name="folder", holdout=wrong)


def test_none_set_aside() -> None:
    with pytest.raises(DataError, match="no training images are set aside"):
        data.val_loader(digits(0), PREPROCESS)


class _Told:
    """Images that must not be decoded to learn their labels."""

    def __init__(self, targets: object) -> None:
        self.targets = targets

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        raise AssertionError("decoded")


@pytest.mark.parametrize("targets", [[2, 0, 1, 1], torch.tensor([2, 0, 1, 1])])
def test_labels_are_told_without_decoding(targets: object) -> None:
    images = Images(_Told(targets), ["a", "b", "c"])
    assert images.labels.tolist() == [2, 0, 1, 1]
    assert images.only([3, 0]).labels.tolist() == [1, 2]
    assert images.labels.dtype == torch.int64


def test_labels_that_nobody_tells_are_read_off_the_images() -> None:
    pairs = [(Image.new("RGB", (2, 2)), label) for label in (1, 0, 1)]
    assert labels_of(pairs).tolist() == [1, 0, 1]
    several = SimpleNamespace(targets=[[1, 5], [0, 6], [1, 7]])  # as of QMNIST
    several_pairs = type("Pairs", (list,), {"targets": several.targets})(pairs)
    assert labels_of(several_pairs).tolist() == [1, 0, 1]
