"""Images with labels, and loaders of them: digits, CIFAR-10, folders, and timm's other data sets."""

from binarize.data.datasets import NotSplit, has_split, open_dataset, sources_beside_training
from binarize.data.files import Unlabelled, first_of, once
from binarize.data.images import CachedImages, Images, name_of, whole_of
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
    "NotSplit",
    "ResidentLoader",
    "Unlabelled",
    "check_cache",
    "check_exists",
    "first_of",
    "has_split",
    "name_of",
    "once",
    "open_dataset",
    "plain_train_loader",
    "sample_images",
    "sources_beside_training",
    "test_loader",
    "train_loader",
    "val_loader",
    "whole_of",
]
