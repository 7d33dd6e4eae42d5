"""Random changes to whole batches of images in torch, on whatever device the images lie.

The same changes as `binarize.data.transforms.BatchTransform` makes in numpy. What is random about them
comes in from outside, as uniform numbers: so each of several processes can draw the numbers of a whole
batch and use those of its own images, and no number has to travel to the device.

Images lie as uint8 [N, H + 2p, W + 2p, 3], the p pixels around them black: a row of a crop then is one
stretch of memory, and to cut a batch out is to copy stretches.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from binarize.recipe import Augment

TOP, LEFT, MIRROR, UPSIDE, ERASE, ERASE_TOP, ERASE_LEFT = range(7)
"""What the rows of uniform numbers are for; then come `ATTEMPTS` areas and as many shapes."""

ATTEMPTS = 10
SMALLEST, LARGEST = 0.02, 1 / 3
FLATTEST = 0.3
"""How timm erases: the area as a share of the image, the height over the width, and how often it tries to
find a rectangle that fits."""


class BatchChanges:
    """Images by their indices to float32 [B, 3, size, size], normalised, channels last in memory.

    Without `augment` they are only normalised. With it, each is cut out of its black frame at a place of its
    own, flipped, and partly erased.
    """

    def __init__(self, preprocess: dict[str, Any], augment: Augment | None = None) -> None:
        self.size = preprocess["img_size"]
        self.augment = augment
        self.padding = augment.crop_padding if augment else 0
        self.mean = (255 * torch.tensor(preprocess["mean"])).repeat(self.size)
        self.std = (255 * torch.tensor(preprocess["std"])).repeat(self.size)

    def to(self, device: torch.device) -> None:
        self.mean, self.std = self.mean.to(device), self.std.to(device)

    def numbers(self, images: int, generator: torch.Generator) -> Tensor | None:
        """The uniform numbers in [0, 1) for so many images, a column for each; None: none are needed."""
        if self.augment is None:
            return None
        rows = ERASE_LEFT + 1 + 2 * ATTEMPTS if self.augment.re_prob else UPSIDE + 1
        return torch.rand(rows, images, device=generator.device, generator=generator)

    def __call__(self, pixels: Tensor, index: Tensor, numbers: Tensor | None) -> Tensor:
        """`pixels`: all images, in their frames; `index`: int64 [B]; `numbers`: a column per index."""
        if self.augment is None or numbers is None:
            return self._normalise(pixels.index_select(0, index))
        places = 2 * self.padding + 1
        top, left = place(numbers[TOP], places), place(numbers[LEFT], places)
        upside = numbers[UPSIDE] < self.augment.vflip
        batch = cut(pixels, index, top, left, upside, self.size)
        if self.augment.hflip:
            batch = mirrored(batch, numbers[MIRROR] < self.augment.hflip)
        batch = self._normalise(batch)
        if self.augment.re_prob:
            batch.masked_fill_(erased(numbers, self.augment.re_prob, self.size)[:, None], 0)
        return batch

    def _normalise(self, batch: Tensor) -> Tensor:
        rows = batch.view(
            len(batch), self.size, -1
        ).float()  # whole rows: three channels are too short
        rows.sub_(self.mean).div_(self.std)
        return rows.view(len(batch), self.size, self.size, -1).permute(0, 3, 1, 2)


def place(uniform: Tensor, places: Tensor | int) -> Tensor:
    """Uniform numbers in [0, 1) to whole ones in [0, places)."""
    return (uniform * places).long().clamp(max=places - 1)  # the product may be rounded up


def cut(
    pixels: Tensor, index: Tensor, top: Tensor, left: Tensor, upside: Tensor, size: int
) -> Tensor:
    """uint8 [B, size, size, C]: windows of `pixels` [N, H, W, C], their rows reversed where `upside`."""
    _, height, width, channels = pixels.shape
    row = torch.arange(size, device=index.device)
    rows = torch.where(upside[:, None], size - 1 - row, row)
    starts = (((index * height + top)[:, None] + rows) * width + left[:, None]) * channels
    length = size * channels
    stretches = pixels.view(-1).as_strided((pixels.numel() - length + 1, length), (1, 1))
    return stretches.index_select(0, starts.view(-1)).view(-1, size, size, channels)


def mirrored(batch: Tensor, chosen: Tensor) -> Tensor:
    """[B, H, W, C], left and right exchanged in the images that are `chosen`."""
    both = torch.cat([batch, batch.flip(2)])
    return both.index_select(0, torch.arange(len(batch), device=batch.device) + len(batch) * chosen)


def erased(numbers: Tensor, probability: float, size: int) -> Tensor:
    """bool [B, size, size]: the rectangle of each image that random erasing blots out."""
    areas, shapes = numbers[ERASE_LEFT + 1 :].chunk(2)
    area = size * size * (SMALLEST + (LARGEST - SMALLEST) * areas)
    shape = torch.exp((2 * shapes - 1) * math.log(1 / FLATTEST))
    high, wide = (area * shape).sqrt().round().long(), (area / shape).sqrt().round().long()
    fits = (high < size) & (wide < size)
    first = fits.int().argmax(0, keepdim=True)
    chosen = (numbers[ERASE] < probability) & fits.any(0)
    down = _span(high.gather(0, first)[0], numbers[ERASE_TOP], size)
    across = _span(wide.gather(0, first)[0], numbers[ERASE_LEFT], size)
    return down[:, :, None] & across[:, None, :] & chosen[:, None, None]


def _span(length: Tensor, uniform: Tensor, size: int) -> Tensor:
    """bool [B, size]: a stretch of that length at a place of its own."""
    start = place(uniform, size - length + 1)[:, None]
    position = torch.arange(size, device=length.device)
    return (position >= start) & (position < start + length[:, None])
