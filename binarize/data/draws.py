"""What is random about a training image: a function of the pass's seed and the image's index.

All random crops, flips and erasures come from here, whoever makes them: the numpy and the PIL changes in
`binarize.data.transforms`, and those on the device in `binarize.data.changes`. So neither `data.cache`, nor
the number of loading or training processes, nor the order in which images are asked for makes a difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from binarize.recipe import Augment

TOP, LEFT, HFLIP, VFLIP, ERASE, ERASE_TOP, ERASE_LEFT = range(7)
"""What an image's first numbers are for; then come `ATTEMPTS` areas and as many shapes."""

ATTEMPTS = 10
SMALLEST, LARGEST = 0.02, 1 / 3
FLATTEST = 0.3
"""How timm erases: the area as a share of the image, the height over the width, and how often it tries to
find a rectangle that fits."""

PER_IMAGE = 32  # numbers that are set aside for each image

GAMMA, FIRST, SECOND = (
    np.uint64(constant) for constant in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


@dataclass(frozen=True)
class Draws:
    """The random part of the changes to B images.

    Attributes:
        top, left: float32 [B] in [0, 1): where the crop lies between its first and its last place.
        hflip, vflip: bool [B].
        box: int64 [B, 4]: top, bottom, left and right end of what is erased; all 0 where nothing is.
    """

    top: NDArray[np.float32]
    left: NDArray[np.float32]
    hflip: NDArray[np.bool_]
    vflip: NDArray[np.bool_]
    box: NDArray[np.int64]


def draw(augment: Augment, sides: tuple[int, int], seed: int, index: NDArray[np.int64]) -> Draws:
    """The draws of the images `index` [B] in the pass of that seed, 0 <= seed < 2^63.

    `sides` are height and width of the finished image.
    """
    top, left, hflip, vflip = uniform(seed, index, range(VFLIP + 1))
    box = np.zeros((len(index), 4), np.int64)
    if augment.re_prob:
        chosen = np.flatnonzero(uniform(seed, index, [ERASE])[0] < augment.re_prob)
        box[chosen] = _boxes(uniform(seed, index[chosen], _ERASING), sides)
    return Draws(top, left, hflip < augment.hflip, vflip < augment.vflip, box)


def uniform(seed: int, index: NDArray[np.int64], rows: range | list[int]) -> NDArray[np.float32]:
    """float32 [len(rows), B] in [0, 1), multiples of 2^-24: the numbers `rows` of each image of `index`.

    They are members of one stream of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014), which gives each of them without those before it.
    """
    row = np.array(rows, np.uint64)[:, None]
    number = index.astype(np.uint64) * np.uint64(PER_IMAGE) + row
    mixed = (number + np.uint64(1)) * GAMMA + np.uint64(seed)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * SECOND
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def place(
    number: NDArray[np.float32] | np.float32, places: int | NDArray[np.int64]
) -> NDArray[np.int64]:
    """Uniform numbers in [0, 1) to whole ones in [0, places)."""
    product = np.asarray(number) * np.asarray(places, np.float32)
    return np.minimum(product.astype(np.int64), places - 1)  # the product may be rounded up


_ERASING = range(ERASE_TOP, ERASE_LEFT + 1 + 2 * ATTEMPTS)


def _boxes(numbers: NDArray[np.float32], sides: tuple[int, int]) -> NDArray[np.int64]:
    """int64 [B, 4], for numbers [2 + 2 * ATTEMPTS, B]: timm's rectangles in images of that height and width.

    The first that is less high and less wide than the image is taken; all 0 where none is.
    """
    (top, left), (areas, shapes) = numbers[:2], np.split(numbers[2:].astype(np.float64), 2)
    area = sides[0] * sides[1] * (SMALLEST + (LARGEST - SMALLEST) * areas)
    shape = np.exp((2 * shapes - 1) * math.log(1 / FLATTEST))
    heights, widths = (np.sqrt(s).round().astype(np.int64) for s in (area * shape, area / shape))
    fits = (heights < sides[0]) & (widths < sides[1])
    first = fits.argmax(0), np.arange(len(top))
    height, width = heights[first] * fits[first], widths[first] * fits[first]
    y, x = place(top, sides[0] - height + 1), place(left, sides[1] - width + 1)
    return np.stack([y, y + height, x, x + width], 1)
