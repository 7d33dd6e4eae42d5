"""Images with labels, and loaders of them: digits, CIFAR-10, folders, and timm's other data sets."""

from binarize.data.images import CachedImages, Images
from binarize.data.loaders import test_loader, train_loader
from binarize.data.sample import check_exists, sample_images
from binarize.data.sources import open_dataset

__all__ = [
    "CachedImages",
    "Images",
    "check_exists",
    "open_dataset",
    "sample_images",
    "test_loader",
    "train_loader",
]
