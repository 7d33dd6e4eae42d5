"""Some images of a folder, without regard to their labels: what binary inputs are calibrated on."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np

from binarize.data.files import ImageFiles, find_split
from binarize.data.images import Images
from binarize.data.transforms import test_transform
from binarize.errors import DataError
from binarize.run import Preprocess

HINT = "name a folder of images, with or without class folders, or a tar of them"


def check_exists(root: Path) -> None:
    """Raises DataError where there is nothing at `root`: to be known before a model is loaded."""
    if not root.exists():
        raise DataError(f'data folder "{root}" does not exist', HINT)


def sample_images(root: Path, count: int, preprocess: Preprocess) -> Images:
    """At most `count` images of `root`, evenly spread over it, brought to float32 [3, size, size].

    `root` is a folder of images, of class folders, or a tar; of a data set with splits, its training
    images are taken. Raises DataError where there are none.
    """
    check_exists(root)
    path = (find_split(root, "train") if root.is_dir() else None) or root
    try:
        files = ImageFiles(path)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f'"{path}" cannot be read: {error}', HINT) from error
    except (RuntimeError, ValueError) as error:  # timm's readers, where they find no image
        raise DataError(f'"{path}" holds no images', HINT) from error
    chosen = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
    images = Images(files, files.classes).only(chosen.tolist())
    images.transform = test_transform(preprocess)
    return images
