"""The built-in digits: sizes, split and looks."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

from binarize.data import open_dataset
from binarize.recipe import Data

TRAIN = open_dataset(Data(name="digits"), "train")
TEST = open_dataset(Data(name="digits"), "test")


def test_sizes() -> None:
    assert TRAIN.pixels.shape == (1437, 3, 32, 32)
    assert TEST.pixels.shape == (360, 3, 32, 32)
    assert TRAIN.pixels.dtype == torch.uint8
    assert TEST.labels.dtype == torch.int64
    assert TEST.classes == [str(digit) for digit in range(10)]


def test_split_is_stratified_and_complete() -> None:
    counts = torch.bincount(TEST.labels)
    assert counts.min() >= 35
    assert counts.max() <= 37
    both = torch.cat([TRAIN.pixels, TEST.pixels]).flatten(1).numpy()
    assert len(np.unique(both, axis=0)) == len(np.unique(load_digits().images, axis=0))


def test_split_is_always_the_same() -> None:
    again = open_dataset(Data(name="digits"), "test")
    assert torch.equal(again.pixels, TEST.pixels)
    assert TEST.labels[:8].tolist() == [7, 6, 3, 7, 7, 3, 2, 8]


def test_items_are_grey_images_over_the_whole_range() -> None:
    image, label = TRAIN[0]
    assert image.size == (32, 32)
    assert image.mode == "RGB"
    assert label == int(TRAIN.labels[0])
    assert torch.equal(TRAIN.pixels[:, 0], TRAIN.pixels[:, 2])
    assert TRAIN.pixels.max() == 255
    assert TRAIN.pixels.min() == 0
