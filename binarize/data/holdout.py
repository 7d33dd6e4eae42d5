"""Training images set aside: the same ones for every seed and in every process.

Constants, learning rates and the best checkpoint are chosen on these, so that the test images answer one
question only, and once. Which images they are follows from the labels and `data.holdout` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from binarize.data.images import CachedImages, Images
from binarize.errors import DataError

if TYPE_CHECKING:
    from binarize.recipe import Data

SEED = 0


def held_out(labels: np.ndarray, count: int) -> np.ndarray:
    """Which `count` of the images are set aside: their indices, rising.

    Every class gives one image before any gives its second, and so on; which of its images is drawn once
    and for all. The last image of a class is set aside only where no other is left.

    `labels`: integers [N]; 0 <= count <= N.
    """
    drawn = np.random.RandomState(SEED).permutation(len(labels))  # this stream is frozen in numpy
    drawn = drawn[np.argsort(labels[drawn], kind="stable")]  # class by class
    _, first, sizes = np.unique(labels[drawn], return_index=True, return_counts=True)
    turn = np.arange(len(labels)) - np.repeat(first, sizes)
    turn[first + sizes - 1] = len(labels)
    return np.sort(drawn[np.argsort(turn, kind="stable")[:count]])


def trained_on(images: Images | CachedImages, config: Data) -> Images | CachedImages:
    """The training images without those that `data.holdout` sets aside.

    Raises DataError where too few are left.
    """
    return _part(images, config, held=False) if config.holdout else images


def set_aside(images: Images | CachedImages, config: Data) -> Images | CachedImages:
    """Those of the training images that `data.holdout` sets aside. Raises DataError where it does not."""
    if not config.holdout:
        raise DataError(
            "no training images are set aside", "set some aside: --set data.holdout=5000"
        )
    return _part(images, config, held=True)


def count_of(holdout: int | float, images: int) -> int:
    """How many of so many images `data.holdout` means: a share below 1 is of at least one image."""
    return holdout if isinstance(holdout, int) else max(1, round(holdout * images))


def _part(images: Images | CachedImages, config: Data, held: bool) -> Images | CachedImages:
    _check(len(images), config)
    labels = images.labels.numpy()
    chosen = np.zeros(len(labels), bool)
    chosen[held_out(labels, count_of(config.holdout, len(labels)))] = True
    return images.only(np.flatnonzero(chosen == held).tolist())


def _check(images: int, config: Data) -> None:
    """Raises DataError where not even one batch is left to train on."""
    aside = count_of(config.holdout, images)
    if aside >= images:
        problem = f"but there are only {images} training images"
    elif images - aside < config.batch_size:
        problem = f"which leaves {images - aside} of {images}, fewer than a batch"
    else:
        return
    raise DataError(
        f"data.holdout sets {aside} images aside, {problem}",
        f"set fewer aside: --set data.holdout={images // 10}",
    )
