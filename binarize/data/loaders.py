"""Data loaders for training and testing: of images in files, in main memory or on the device.

The order of the training images, their crops, flips and erasures follow from the generator of
`loader.sampler` alone (torch's global one where it has none), whichever loader it is and however many
workers. What only timm does (`scale`, `color_jitter`, `auto_augment`) follows from torch's, numpy's and
Python's global generators. A caller that seeds all of them at the start of an epoch gets that epoch again,
whatever came before it; so workers are started anew for every epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import torch
from torch.utils.data import DataLoader

from binarize.data import transforms
from binarize.data.changes import BatchChanges
from binarize.data.datasets import open_dataset
from binarize.data.files import Say, silent
from binarize.data.images import CachedBatches, CachedImages, Images, cache
from binarize.data.resident import ResidentImages, ResidentLoader
from binarize.data.shuffle import Shuffle
from binarize.data.training import OneByOne, TrainingImages, WholeBatches
from binarize.errors import DataError
from binarize.progress import Progress
from binarize.run import Preprocess

if TYPE_CHECKING:
    from binarize.recipe import Augment, Data

Loader = DataLoader[Any] | ResidentLoader


def check_cache(config: Data) -> None:
    """Raises DataError where `data.cache` is device and a change to training images is not made there."""
    key = transforms.one_by_one(config.augment)
    if config.cache == "device" and key is not None:
        raise DataError(
            f"data.augment.{key} changes images one by one, and data.cache device all of a batch at once",
            "--set data.cache=true keeps the images in main memory and can do it",
        )


def train_loader(config: Data, preprocess: Preprocess) -> Loader:
    """Shuffled, augmented batches: float32 [batch_size, 3, H, W] and int64 labels.

    A last batch that is not full is left out. `loader.dataset.classes` are the class names. Raises
    DataError for data that is missing or has fewer images than a batch, and for what `data.cache` device
    cannot do.
    """
    check_cache(config)
    images = open_dataset(config, "train")
    if len(images) < config.batch_size:
        raise DataError(
            f'data set "{config.name}" has {len(images)} training images, fewer than the '
            f"{config.batch_size} of a batch",
            f"take smaller batches: --set data.batch_size={max(1, len(images) // 4)}",
        )
    if config.cache == "device":
        return _resident(config, images, preprocess, config.augment)
    if transforms.one_by_one(config.augment) is None and _fits(
        images, preprocess.replace(crop_pct=1.0)
    ):
        whole = WholeBatches(images, config.augment, preprocess)
        return _loader(config, whole, Shuffle(len(images)))
    each = OneByOne(images, config.augment, preprocess)
    return _loader(config, each, Shuffle(len(images)))


def test_loader(
    config: Data,
    preprocess: Preprocess,
    limit: int | None = None,  # noqa: PT028
    classes: list[str] | None = None,  # noqa: PT028
    download: bool = True,  # noqa: PT028
    say: Say = silent,  # noqa: PT028
    progress: Progress | None = None,  # noqa: PT028
) -> Loader:
    """Test batches in order: float32 [B, 3, H, W] and int64 labels.

    `limit` takes that many images, evenly spread over the data set. `classes` are the names that the
    model knows. `download`, `say` and `progress` are those of `open_dataset`. Raises DataError for data
    that is missing or of other classes.
    """
    images = open_dataset(config, "test", classes, download=download, say=say, progress=progress)
    return _in_order(config, _spread(images, limit), preprocess)


def plain_train_loader(config: Data, preprocess: Preprocess, limit: int) -> Loader:
    """At most `limit` training images, spread over the data set, as `test_loader` gives test images; nothing
    is downloaded."""
    images = open_dataset(config, "train", download=False)
    return _in_order(config, _spread(images, limit), preprocess)


def _spread(images: Images | CachedImages, limit: int | None) -> Images | CachedImages:
    if limit is None or limit >= len(images):
        return images
    return images.only(np.linspace(0, len(images) - 1, limit).round().astype(int).tolist())


def val_loader(config: Data, preprocess: Preprocess, classes: list[str] | None = None) -> Loader:
    """The images that judge a training, those of val/ or those that `data.holdout` sets aside, as
    `test_loader` gives test images.

    Raises DataError where none are set aside, or so many that less than a batch is left.
    """
    return _in_order(config, open_dataset(config, "holdout", classes), preprocess)


def _in_order(config: Data, images: Images | CachedImages, preprocess: Preprocess) -> Loader:
    """Batches of all images as they are, resized, cropped and normalised."""
    if config.cache == "device":
        return _resident(config, images, preprocess, None)
    if _fits(images, preprocess):
        return _loader(config, CachedBatches(images, transforms.BatchTransform(preprocess)))
    images.transform = transforms.test_transform(preprocess)
    return _loader(config, images)


def _resident(
    config: Data, images: Images | CachedImages, preprocess: Preprocess, augment: Augment | None
) -> ResidentLoader:
    """Batches that are made where the images lie; random changes, if any, make it a training loader."""
    seen = preprocess.replace(crop_pct=1.0) if augment else preprocess
    if not _fits(images, seen):
        images.transform = transforms.before_changes(augment, preprocess)
        images = cache(images)
    if not _fits(images, preprocess.replace(crop_pct=1.0)):
        raise DataError(
            f'data.cache device cuts images of one size out of a frame, and those of "{config.name}" have '
            "several sizes or another shape",
            "--set data.cache=true cuts them one by one; data.augment.crop_padding=0 cuts the middle out",
        )
    resident = ResidentImages(images, augment.crop_padding if augment else 0)
    changes = BatchChanges(preprocess, augment)
    return ResidentLoader(resident, changes, config.batch_size, training=augment is not None)


def _fits(images: Images | CachedImages, preprocess: Preprocess) -> TypeGuard[CachedImages]:
    """Whether the images are in memory and already have the size that is wanted."""
    if not isinstance(images, CachedImages):
        return False
    height, width = images.pixels.shape[-2:]
    return not transforms.resizes((height, width), preprocess)


def _loader(
    config: Data,
    images: Images | CachedImages | CachedBatches | TrainingImages,
    shuffle: Shuffle | None = None,
) -> DataLoader[Any]:
    """Batches in order, or of training images as `shuffle` says, without a last one that is not full."""
    return DataLoader(
        images,
        config.batch_size,
        sampler=shuffle,
        drop_last=shuffle is not None,
        num_workers=config.workers,
        collate_fn=_as_it_is if hasattr(images, "__getitems__") else None,
        pin_memory=torch.cuda.is_available(),
    )


def _as_it_is(batch: Any) -> Any:
    return batch
