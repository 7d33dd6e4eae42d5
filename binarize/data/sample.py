"""Some images of a folder, without regard to their labels: what binary inputs are calibrated on."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np

from binarize.data.decode import why
from binarize.data.files import ImageFiles, Say, find_split, silent
from binarize.data.images import Images
from binarize.data.transforms import test_transform
from binarize.errors import DataError
from binarize.run import Preprocess

HINT = "name a folder of images, with or without class folders, or a tar of them"


def check_exists(root: Path) -> None:
    """Raises DataError where there is nothing at `root`: to be known before a model is loaded."""
    if not root.exists():
        raise DataError(f'data folder "{root}" does not exist', HINT)


def sample_images(root: Path, count: int, preprocess: Preprocess, say: Say = silent) -> Images:
    """At most `count` images of `root`, evenly spread over it, brought to float32 [3, H, W].

    `root` is a folder of images, of class folders, or a tar; of a data set with splits, its training
    images are taken. `say` is told where something was passed over, and why.
    Raises DataError where there are none.
    """
    check_exists(root)
    path = (find_split(root, "train") if root.is_dir() else None) or root
    try:
        files = ImageFiles(path, labelled=False)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise DataError(f'"{path}" cannot be read: {why(error)}', HINT) from error
    except DataError as error:
        raise DataError(error.message, HINT) from error
    if files.skipped:
        say(files.summary)
    chosen = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
    images = Images(files, files.classes).only(chosen.tolist())
    images.transform = test_transform(preprocess)
    return images
