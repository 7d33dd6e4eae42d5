"""Training images of a DataLoader: a batch is fetched and changed at once, by the draws of its images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from binarize.data.draws import Draws, draw
from binarize.data.images import CachedImages, Images
from binarize.data.transforms import BatchTransform, ImageTransform, crop, flip
from binarize.run import Preprocess

if TYPE_CHECKING:
    from binarize.recipe import Augment

Batch = tuple[Tensor, Tensor]


class TrainingImages(ABC, Dataset[Batch]):
    """float32 [B, 3, H, W] and int64 labels [B] for B of the pairs that `Shuffle` yields.

    Attributes:
        classes: names in the order of the labels.
    """

    def __init__(self, classes: list[str], augment: Augment, preprocess: Preprocess) -> None:
        self.classes, self.augment = classes, augment
        self.sides = preprocess.sides
        self.normalise = BatchTransform(preprocess)

    @abstractmethod
    def __len__(self) -> int: ...

    def __getitems__(self, drawn: list[tuple[int, int]]) -> Batch:
        index, seed = np.array([index for index, _ in drawn]), drawn[0][1]
        draws = draw(self.augment, self.sides, seed, index)
        pixels, labels = self.cropped(index, draws)
        return self.normalise(pixels, draws.box), labels

    @abstractmethod
    def cropped(self, index: NDArray[np.int64], draws: Draws) -> tuple[NDArray[np.uint8], Tensor]:
        """uint8 [B, 3, H, W], cropped and flipped, and int64 labels [B]."""


class WholeBatches(TrainingImages):
    """Cached images of the size that is wanted, all of a batch changed at once in numpy."""

    def __init__(self, images: CachedImages, augment: Augment, preprocess: Preprocess) -> None:
        super().__init__(images.classes, augment, preprocess)
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def cropped(self, index: NDArray[np.int64], draws: Draws) -> tuple[NDArray[np.uint8], Tensor]:
        pixels = crop(self.images.pixels.numpy()[index], self.augment.crop_padding, draws)
        flip(pixels, draws.hflip, axis=-1)
        flip(pixels, draws.vflip, axis=-2)
        return pixels, self.images.labels[torch.from_numpy(index)]


class OneByOne(TrainingImages):
    """Images of any size, decoded, resized, cropped and flipped one by one."""

    def __init__(
        self, images: Images | CachedImages, augment: Augment, preprocess: Preprocess
    ) -> None:
        super().__init__(images.classes, augment, preprocess)
        self.images = images
        self.each = ImageTransform(augment, preprocess)

    def __len__(self) -> int:
        return len(self.images)

    def cropped(self, index: NDArray[np.int64], draws: Draws) -> tuple[NDArray[np.uint8], Tensor]:
        pixels = np.empty((len(index), *self.sides, 3), np.uint8)
        labels = torch.empty(len(index), dtype=torch.int64)
        for number, one in enumerate(index.tolist()):
            image, labels[number] = self.images[one]
            pixels[number] = np.asarray(self.each(image, draws, number))
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), labels
