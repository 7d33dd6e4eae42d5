"""Images with labels, and loaders of them: digits, CIFAR-10, folders, and timm's other data sets."""

from binarize.data.datasets import open_dataset
from binarize.data.files import Unlabelled
from binarize.data.images import CachedImages, Images
from binarize.data.loaders import (
    Loader,
    check_cache,
    plain_train_loader,
    test_loader,
    train_loader,
    val_loader,
)
from binarize.data.resident import ResidentLoader
from binarize.data.sample import check_exists, sample_images

__all__ = [
    "CachedImages",
    "Images",
    "Loader",
    "ResidentLoader",
    "Unlabelled",
    "check_cache",
    "check_exists",
    "open_dataset",
    "plain_train_loader",
    "sample_images",
    "test_loader",
    "train_loader",
    "val_loader",
]
