"""Random changes to whole batches of images in torch, on whatever device the images lie.

The same changes as `binarize.data.training.WholeBatches` makes in numpy, by the same draws.

Images lie as uint8 [N, H + 2p, W + 2p, 3], the p pixels around them black: a row of a crop then is one
stretch of memory, and to cut a batch out is to copy stretches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from binarize.data.draws import draw, place
from binarize.run import Preprocess

if TYPE_CHECKING:
    from binarize.recipe import Augment


class BatchChanges:
    """Images by their indices to float32 [B, 3, H, W], normalised, channels last in memory.

    Without `augment` they are only normalised. With it, each is cut out of its black frame at a place of its
    own, flipped, and partly erased.
    """

    def __init__(self, preprocess: Preprocess, augment: Augment | None = None) -> None:
        self.sides = preprocess.sides
        self.augment = augment
        self.padding = augment.crop_padding if augment else 0
        self.mean = (255 * torch.tensor(preprocess.mean)).repeat(self.sides[1])
        self.std = (255 * torch.tensor(preprocess.std)).repeat(self.sides[1])

    def to(self, device: torch.device) -> None:
        self.mean, self.std = self.mean.to(device), self.std.to(device)

    def table(self, seed: int, index: NDArray[np.int64]) -> Tensor | None:
        """The draws of the images `index` [B] in the pass of that seed, a column for each; None without any.

        int64 [8, B]: first row and column of the crop, 1 for each flip (hflip, vflip), and what is
        erased as in `Draws.box`.
        """
        if self.augment is None:
            return None
        draws, places = draw(self.augment, self.sides, seed, index), 2 * self.padding + 1
        crop = place(draws.top, places), place(draws.left, places)
        return torch.from_numpy(np.stack([*crop, draws.hflip, draws.vflip, *draws.box.T]))

    def __call__(self, pixels: Tensor, index: Tensor, table: Tensor | None) -> Tensor:
        """`pixels`: all images, in their frames; `index`: int64 [B]; `table`: a column per index."""
        if self.augment is None or table is None:
            return self._normalise(pixels.index_select(0, index))
        top, left, hflip, vflip, *box = table
        batch = cut(pixels, index, top, left, vflip.bool(), self.sides)
        if self.augment.hflip:
            batch = mirrored(batch, hflip)
        batch = self._normalise(batch)
        if self.augment.re_prob:
            batch.masked_fill_(erased(box, self.sides)[:, None], 0)
        return batch

    def _normalise(self, batch: Tensor) -> Tensor:
        height, width = self.sides
        rows = batch.view(
            len(batch), height, -1
        ).float()  # whole rows: three channels are too short
        rows.sub_(self.mean).div_(self.std)
        return rows.view(len(batch), height, width, -1).permute(0, 3, 1, 2)


def cut(
    pixels: Tensor, index: Tensor, top: Tensor, left: Tensor, upside: Tensor, sides: tuple[int, int]
) -> Tensor:
    """uint8 [B, *sides, C]: windows of `pixels` [N, H, W, C], their rows reversed where `upside`."""
    _, height, width, channels = pixels.shape
    row = torch.arange(sides[0], device=index.device)
    rows = torch.where(upside[:, None], sides[0] - 1 - row, row)
    starts = (((index * height + top)[:, None] + rows) * width + left[:, None]) * channels
    length = sides[1] * channels
    stretches = pixels.view(-1).as_strided((pixels.numel() - length + 1, length), (1, 1))
    return stretches.index_select(0, starts.view(-1)).view(-1, *sides, channels)


def mirrored(batch: Tensor, chosen: Tensor) -> Tensor:
    """[B, H, W, C], left and right exchanged in the images where `chosen`, int64 [B], is 1."""
    both = torch.cat([batch, batch.flip(2)])
    return both.index_select(0, torch.arange(len(batch), device=batch.device) + len(batch) * chosen)


def erased(box: list[Tensor], sides: tuple[int, int]) -> Tensor:
    """bool [B, *sides]: the inside of each image's rectangle, `box` being its four ends [B]."""
    top, bottom, left, right = (end[:, None] for end in box)
    row, column = (torch.arange(side, device=top.device) for side in sides)
    down = (row >= top) & (row < bottom)
    across = (column >= left) & (column < right)
    return down[:, :, None] & across[:, None, :]
