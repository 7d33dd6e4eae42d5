"""Images that live on the training device: the same batches as from main memory, shared, repeatable."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from image_folders import write_images
from PIL import Image

from binarize import data
from binarize.data import ResidentLoader
from binarize.data.changes import BatchChanges
from binarize.data.resident import ResidentImages
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
AUGMENT = {"crop_padding": 2, "hflip": 0.5, "re_prob": 0.3}
CPU = torch.device("cpu")


def digits(**options: object) -> Data:
    given = {"name": "digits", "batch_size": 100, "workers": 0, "cache": "device", **options}
    return Data.model_validate(given)


def seed(number: int) -> None:
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


def ordered(loader: object, number: int = 0) -> object:
    loader.sampler.generator = torch.Generator().manual_seed(number)
    return loader


def epoch(loader: object) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


@pytest.mark.parametrize("augment", [{}, AUGMENT])
def test_training_batches(augment: dict) -> None:
    loader = data.train_loader(digits(augment=augment), PREPROCESS)
    assert isinstance(loader, ResidentLoader)
    batches = list(loader)
    assert len(loader) == len(batches) == 14
    images, labels = batches[-1]
    assert images.shape == (100, 3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert loader.dataset.classes == [str(digit) for digit in range(10)]
    assert len(loader.dataset) == 1437
    loader.end()


def test_the_order_is_that_of_the_other_loaders_and_so_are_the_images() -> None:
    ours, theirs = (
        epoch(ordered(data.train_loader(digits(cache=cache), PREPROCESS)))
        for cache in ("device", True)
    )
    assert torch.equal(ours[1], theirs[1])
    assert torch.equal(ours[0], theirs[0])


def test_an_epoch_follows_from_the_seed_alone() -> None:
    config = digits(augment=AUGMENT)
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


def test_its_generator_decides_it_all() -> None:
    """Whatever else has drawn random numbers, as dropout does between two batches."""
    loader = data.train_loader(digits(augment=AUGMENT), PREPROCESS)
    seed(1)
    first, _ = epoch(ordered(loader, 3))
    seed(2)
    again = torch.cat([images for images, _ in ordered(loader, 3) if torch.rand(1) >= 0])
    other, _ = epoch(ordered(loader, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_training_batches_are_shared_with_all_their_changes() -> None:
    config = digits(augment=AUGMENT)
    shares = [ordered(data.train_loader(config, PREPROCESS).on(CPU, p, 2)) for p in (0, 1)]
    whole = ordered(data.train_loader(config, PREPROCESS))
    for one, two, both in zip(*shares, whole, strict=True):
        assert len(one[1]) == len(two[1]) == 50
        for first, second, together in zip(one, two, both, strict=True):
            assert torch.equal(torch.cat([first, second]), together)


@pytest.mark.parametrize("limit", [None, 130, 30])
def test_each_test_image_is_in_one_share(limit: int | None) -> None:
    shares = [
        list(data.test_loader(digits(), PREPROCESS, limit).on(CPU, process, 2))
        for process in (0, 1)
    ]
    images, labels = epoch([batch for share in shares for batch in share])
    whole_images, whole_labels = epoch(data.test_loader(digits(), PREPROCESS, limit))
    assert len(labels) == len(whole_labels) == (limit or 360)
    assert torch.equal(labels.sort().values, whole_labels.sort().values)
    torch.testing.assert_close(images.mean(0), whole_images.mean(0))


def test_held_out_and_test_images_come_in_order() -> None:
    config = digits(holdout=250, augment=AUGMENT)
    for loader, split in (
        (data.val_loader(config, PREPROCESS), "holdout"),
        (data.test_loader(config, PREPROCESS), "test"),
    ):
        images, labels = epoch(loader)
        stored = data.open_dataset(config, split)
        assert torch.equal(labels, stored.labels)
        torch.testing.assert_close(images, (stored.pixels / 255 - 0.5) / 0.25)


def of_several_sizes(root: Path) -> Path:
    for part in ("train", "test"):
        write_images(root / part)
        for number, size in enumerate([(16, 20), (33, 24), (40, 40)]):
            noise = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / part / "emu" / f"more{number}.png")
    return root


@pytest.mark.parametrize(("size", "crop_pct"), [(16, 1.0), (16, 0.8), (24, 0.9)])
def test_images_of_several_sizes_are_brought_to_one(
    tmp_path: Path, size: int, crop_pct: float
) -> None:
    of_several_sizes(tmp_path)
    preprocess = PREPROCESS.replace(img_size=size, crop_pct=crop_pct)
    for kind in (data.train_loader, data.test_loader):
        ours, theirs = (
            epoch(ordered(kind(config, preprocess)))
            for cache in ("device", False)
            if (
                config := Data(
                    name="folder", dir=str(tmp_path), cache=cache, workers=0, batch_size=5
                )
            )
        )
        assert torch.equal(ours[1], theirs[1])
        torch.testing.assert_close(ours[0], theirs[0])


def test_a_frame_is_for_images_of_one_size(tmp_path: Path) -> None:
    of_several_sizes(tmp_path)
    config = Data(
        name="folder",
        dir=str(tmp_path),
        cache="device",
        batch_size=5,
        augment={"crop_padding": 1},
    )
    with pytest.raises(DataError, match="several sizes or another shape") as caught:
        data.train_loader(config, PREPROCESS)
    assert "data.cache=true" in caught.value.hint


@pytest.mark.parametrize(
    ("key", "value"), [("scale", [0.5, 1.0]), ("color_jitter", 0.2), ("auto_augment", "rand-m9")]
)
def test_what_is_changed_one_by_one(key: str, value: object) -> None:
    config = digits(augment={key: value})
    for refuse in (data.check_cache, lambda config: data.train_loader(config, PREPROCESS)):
        with pytest.raises(DataError, match=f"data.augment.{key} ") as caught:
            refuse(config)
        assert "data.cache=true" in caught.value.hint
    data.check_cache(digits(cache=True, augment={key: value}))


class _Full:
    """A tensor on its way to a device that has no room for it."""

    def to(self, device: torch.device) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def numel(self) -> int:
        return 2_500_000_000


def test_too_little_memory() -> None:
    images = ResidentImages(data.open_dataset(digits(), "test"))
    images.pixels = _Full()
    with pytest.raises(DataError, match=r"the 360 images take 2\.5 GB") as caught:
        ResidentLoader(images, BatchChanges(PREPROCESS), 4, training=False).on(CPU)
    assert "data.cache=true" in caught.value.hint


def test_a_batch_is_made_by_one_thread() -> None:
    loader = data.train_loader(digits(), PREPROCESS)
    seen = []
    changes = loader.changes
    loader.changes = lambda *a: seen.append(torch.get_num_threads()) or changes(*a)
    loader.changes.table = changes.table
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for _ in loader:
            seen.append(torch.get_num_threads())
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 2] * 14


def test_one_image_in_its_frame() -> None:
    stored = data.open_dataset(digits(), "test")
    image, label = ResidentImages(stored, padding=3)[7]
    assert image.shape == (38, 38, 3)
    assert torch.equal(image[3:-3, 3:-3].permute(2, 0, 1), stored.pixels[7])
    assert int(image.sum()) == int(stored.pixels[7].sum())
    assert label == int(stored.labels[7])
