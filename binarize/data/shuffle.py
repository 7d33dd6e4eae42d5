"""The order of the training images in one pass, and the seed of all random changes to them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler


class Shuffle(Sampler[tuple[int, int]]):
    """(index, seed) of every image once, in random order; the seed is the same for all of a pass.

    The seed goes with each index because nothing else reaches a loading process in every pass.

    Attributes:
        generator: what both are drawn from; None: torch's global generator.
    """

    def __init__(self, images: int) -> None:
        self.images = images
        self.generator: torch.Generator | None = None

    def draw(self) -> tuple[Tensor, int]:
        """An order, int64 [images], and a seed, 0 <= seed < 2^62."""
        order = torch.randperm(self.images, generator=self.generator)
        return order, int(torch.randint(2**62, (), generator=self.generator))

    def __len__(self) -> int:
        return self.images

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order, seed = self.draw()
        for index in order.tolist():
            yield index, seed
