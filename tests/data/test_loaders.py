"""Loaders: shapes, exact repetition from a seed, sharing among processes, and limits."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.data_loader import prepare_data_loader
from image_folders import write_images
from torch.utils.data import DataLoader

from binarize import data
from binarize.data.training import WholeBatches
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
SIMPLE = {"crop_padding": 2, "hflip": 0.5}
HARD = {"scale": [0.5, 1.0], "color_jitter": 0.2}
EVERYTHING = {"crop_padding": 2, "hflip": 0.5, "vflip": 0.5, "re_prob": 0.5}

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def digits(**options: object) -> Data:
    return Data(**{"name": "digits", "batch_size": 100, "workers": 0, **options})


def seed(number: int) -> None:
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


def epoch(loader: DataLoader) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


@pytest.mark.parametrize("augment", [{}, SIMPLE, HARD])
def test_training_batches(augment: dict) -> None:
    loader = data.train_loader(digits(augment=augment), PREPROCESS)
    assert len(loader) == 14  # 1437 images; the rest of 37 is left out
    assert isinstance(loader.dataset, WholeBatches) == (augment is not HARD)
    images, labels = next(iter(loader))
    assert images.shape == (100, 3, 32, 32)
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert loader.dataset.classes == [str(digit) for digit in range(10)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("augment", [SIMPLE, HARD])
def test_an_epoch_follows_from_the_seed_alone(workers: int, augment: dict) -> None:
    config = digits(workers=workers, augment=augment, batch_size=400)
    loader = data.train_loader(config, PREPROCESS)
    seed(1)
    first, first_labels = epoch(loader)
    other, _ = epoch(loader)
    seed(1)
    again, again_labels = epoch(loader)
    seed(1)
    resumed, _ = epoch(data.train_loader(config, PREPROCESS))
    assert torch.equal(first, again)
    assert torch.equal(first_labels, again_labels)
    assert torch.equal(first, resumed)
    assert not torch.equal(first, other)


def test_training_is_shuffled_and_testing_is_not() -> None:
    train = data.open_dataset(digits(), "train")
    _, labels = epoch(data.train_loader(digits(), PREPROCESS))
    assert not torch.equal(labels, train.labels[:1400])
    test = data.open_dataset(digits(), "test")
    images, labels = epoch(data.test_loader(digits(), PREPROCESS))
    assert torch.equal(labels, test.labels)
    torch.testing.assert_close(images, (test.pixels / 255 - 0.5) / 0.25)


def test_memory_and_files_give_the_same_test_batches(tmp_path: Path) -> None:
    write_images(tmp_path / "test")
    for size, crop_pct in ((16, 1.0), (16, 0.8), (24, 1.0)):
        preprocess = PREPROCESS.replace(img_size=size, crop_pct=crop_pct)
        batches = [
            epoch(data.test_loader(config, preprocess))[0]
            for cache in (False, True)
            if (config := Data(name="folder", dir=str(tmp_path), cache=cache, workers=0))
        ]
        assert batches[0].shape == (12, 3, size, size)
        torch.testing.assert_close(*batches)


def test_the_limit_is_spread_over_the_data(tmp_path: Path) -> None:
    write_images(tmp_path / "test")
    config = Data(name="folder", dir=str(tmp_path), workers=0)
    _, labels = epoch(data.test_loader(config, PREPROCESS, limit=3))
    assert labels.tolist() == [0, 1, 2]
    assert len(data.test_loader(config, PREPROCESS, limit=100).dataset) == 12
    whole = data.test_loader(digits(), PREPROCESS, limit=50)
    assert len(whole.dataset) == 50
    assert whole.dataset.classes == data.test_loader(digits(), PREPROCESS).dataset.classes


def test_classes_reach_the_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the model knows 2"):
        data.test_loader(digits(), PREPROCESS, classes=["a", "b"])


def test_fewer_images_than_a_batch(tmp_path: Path) -> None:
    write_images(tmp_path / "train")
    config = Data(name="folder", dir=str(tmp_path), batch_size=64)
    with pytest.raises(DataError, match="has 12 training images") as caught:
        data.train_loader(config, PREPROCESS)
    assert "data.batch_size=3" in caught.value.hint


@pytest.mark.parametrize("augment", [{}, EVERYTHING, {"scale": [1.0, 1.0], "hflip": 0.5}])
def test_processes_share_a_batch_with_all_its_changes(augment: dict) -> None:
    """As accelerate does it, with the recipe's batch size over all processes."""
    shares = []
    for process in (0, 1):
        loader = data.train_loader(digits(augment=augment), PREPROCESS)
        loader.sampler.generator = torch.Generator().manual_seed(0)
        shares.append(
            prepare_data_loader(
                loader,
                num_processes=2,
                process_index=process,
                split_batches=True,
                put_on_device=False,
                rng_types=[],
            )
        )
    whole = data.train_loader(digits(augment=augment), PREPROCESS)
    whole.sampler.generator = torch.Generator().manual_seed(0)
    for (_, first), (_, second), (_, both) in zip(*shares, whole, strict=True):
        assert len(first) == len(second) == 50
        assert torch.equal(torch.cat([first, second]), both)
