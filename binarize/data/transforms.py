"""From images to normalised tensors: timm's transforms, and the same on a whole batch at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from timm.data import create_transform
from timm.data.random_erasing import RandomErasing
from timm.data.transforms import MaybeToTensor, str_to_interp_mode
from torch import Tensor
from torchvision import transforms

if TYPE_CHECKING:
    from binarize.recipe import Augment

Preprocess = dict[str, Any]


def test_transform(preprocess: Preprocess) -> Callable[[Any], Tensor]:
    """PIL image to [3, img_size, img_size]: resized, centre-cropped, normalised."""
    return create_transform(
        preprocess["img_size"],
        mean=preprocess["mean"],
        std=preprocess["std"],
        interpolation=preprocess["interpolation"],
        crop_pct=preprocess["crop_pct"],
    )


def train_transform(augment: Augment, preprocess: Preprocess) -> Callable[[Any], Tensor]:
    """PIL image to [3, img_size, img_size], with the recipe's random changes."""
    first, second, last = create_transform(
        preprocess["img_size"],
        is_training=True,
        scale=augment.scale,
        ratio=augment.ratio,
        hflip=augment.hflip,
        vflip=augment.vflip,
        color_jitter=augment.color_jitter or None,
        auto_augment=augment.auto_augment,
        interpolation=preprocess["interpolation"],
        mean=preprocess["mean"],
        std=preprocess["std"],
        re_prob=augment.re_prob,
        separate=True,
    )
    if augment.scale is None:
        _, *flips = first.transforms  # timm always begins with a random resized crop
        first = transforms.Compose([*_square(augment.crop_padding, preprocess), *flips])
    return transforms.Compose([first, second, last])


def _square(padding: int, preprocess: Preprocess) -> list[Any]:
    size = preprocess["img_size"]
    crop = transforms.RandomCrop(size, padding) if padding else transforms.CenterCrop(size)
    return [_resize(preprocess), crop]


def _resize(preprocess: Preprocess) -> transforms.Resize:
    interpolation = str_to_interp_mode(preprocess["interpolation"])
    return transforms.Resize(preprocess["img_size"], interpolation)


def before_changes(augment: Augment | None, preprocess: Preprocess) -> Callable[[Any], Any]:
    """PIL image to PIL image: what happens to it every time, before anything random does.

    For training it is what comes before the crop of `augment`, for testing (None) everything but the
    normalisation.
    """
    if augment is None:
        every = test_transform(preprocess).transforms
        return transforms.Compose([one for one in every if not _makes_tensor(one)])
    return (
        _resize(preprocess) if augment.crop_padding else transforms.Compose(_square(0, preprocess))
    )


def _makes_tensor(transform: Any) -> bool:
    return isinstance(transform, (MaybeToTensor, transforms.Normalize))


def resizes(side: tuple[int, int], preprocess: Preprocess) -> bool:
    """Whether test images of that height and width would be resized or cropped."""
    size = preprocess["img_size"]
    return side != (size, size) or math.floor(size / preprocess["crop_pct"]) != size


def one_by_one(augment: Augment) -> str | None:
    """The name of a change that is only made image by image; None: `BatchTransform` can do all of it."""
    names = ("scale", "color_jitter", "auto_augment")
    return next((name for name in names if getattr(augment, name)), None)


class BatchTransform:
    """uint8 [B, 3, H, W] to normalised float32 [B, 3, H, W], all images of a batch at once.

    Without `augment` it only normalises. With it, every image is padded with black on all sides and cut
    out again at a place of its own, flipped, and partly erased, each by its own draw.

    Written in numpy, which stays on one thread: torch spreads such a batch over all cores, and where
    those are busy it then waits a hundred times longer than the work takes.
    """

    def __init__(self, preprocess: Preprocess, augment: Augment | None = None) -> None:
        self.mean = 255 * np.array(preprocess["mean"], np.float32)[:, None, None]
        self.std = 255 * np.array(preprocess["std"], np.float32)[:, None, None]
        self.augment = augment
        self.erase = RandomErasing(augment.re_prob, device="cpu") if augment else None

    def __call__(self, pixels: np.ndarray) -> Tensor:
        if self.augment is None:
            return self._normalise(pixels)
        pixels = random_crop(pixels, self.augment.crop_padding)
        pixels = random_flip(pixels, self.augment.hflip, axis=-1)
        pixels = random_flip(pixels, self.augment.vflip, axis=-2)
        batch = self._normalise(pixels)
        return self.erase(batch) if self.augment.re_prob else batch

    def _normalise(self, pixels: np.ndarray) -> Tensor:
        batch = pixels.astype(np.float32)
        batch -= self.mean
        batch /= self.std
        return torch.from_numpy(batch)


def random_crop(batch: np.ndarray, padding: int) -> np.ndarray:
    """Pad by `padding` zeros on every side, then cut the old size out, at its own place per image."""
    if not padding:
        return batch
    images, _, height, width = batch.shape
    padded = np.pad(batch, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    top, left = torch.randint(2 * padding + 1, (2, images)).numpy()
    return windows[np.arange(images), :, top, left]


def random_flip(batch: np.ndarray, probability: float, axis: int) -> np.ndarray:
    """Mirror each image along `axis` with that probability."""
    if not probability:
        return batch
    chosen = (torch.rand(len(batch)) < probability).numpy()
    flipped = batch.copy()
    flipped[chosen] = np.flip(batch[chosen], axis)
    return flipped
