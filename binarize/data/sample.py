"""Some images of a folder, without regard to their labels: what binary inputs are calibrated on."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np

from binarize.choices import OnError
from binarize.data.decode import why
from binarize.data.files import ImageFiles, Say, silent, splits_of
from binarize.data.images import Images
from binarize.data.splits import Source
from binarize.data.transforms import test_transform
from binarize.errors import DataError
from binarize.progress import Progress
from binarize.run import Preprocess

HINT = "name a folder of images, with or without class folders, or a tar of them"


def check_exists(root: Path) -> None:
    """Raises DataError where there is nothing at `root`: to be known before a model is loaded."""
    if not root.exists():
        raise DataError(f'data folder "{root}" does not exist', HINT)


def sample_images(
    root: Path,
    count: int,
    preprocess: Preprocess,
    say: Say = silent,
    *,
    on_error: OnError = "stop",
    progress: Progress | None = None,
) -> Images:
    """At most `count` images of `root`, evenly spread over it, brought to float32 [3, H, W].

    `root` is a folder of images, of class folders, or a tar; of a data set with splits, its training
    images are taken. `say` is told where something was passed over, and why. With `progress`, the headers of
    those that are taken are read first; unreadable ones are left out where `on_error` is "skip".
    Raises DataError where there are none.
    """
    check_exists(root)
    source = splits_of(root).train or Source(root)
    try:
        files = ImageFiles(source, labelled=False)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise DataError(f'"{source}" cannot be read: {why(error)}', HINT) from error
    except DataError as error:
        raise DataError(error.message, HINT) from error
    chosen = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
    files.only(chosen.tolist())
    if progress is not None or on_error == "skip":
        files.check(on_error, progress)
    if files.skipped:
        say(files.summary)
    images = Images(files, files.classes)
    images.transform = test_transform(preprocess)
    return images
