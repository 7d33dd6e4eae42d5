"""From images to normalised tensors, one by one or all of a batch at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from timm.data import create_transform
from timm.data.transforms import MaybeToTensor, ResizeKeepRatio, str_to_interp_mode
from torch import Tensor
from torchvision import transforms

from binarize.data.draws import Draws, place
from binarize.errors import DataError
from binarize.run import Preprocess

if TYPE_CHECKING:
    from binarize.recipe import Augment

Pixels = NDArray[np.uint8]


def test_transform(preprocess: Preprocess) -> Callable[[Any], Tensor]:
    """PIL image to [3, H, W]: resized, centre-cropped, normalised."""
    return create_transform(
        preprocess.sides,
        mean=tuple(preprocess.mean),
        std=tuple(preprocess.std),
        interpolation=preprocess.interpolation,
        crop_pct=preprocess.crop_pct,
    )


class ImageTransform:
    """PIL image to PIL image of the size that is wanted, with all random changes but erasing.

    Crop and flips are those of its draws; `scale`, `color_jitter` and `auto_augment` are timm's, by the
    generators of the process.
    """

    def __init__(self, augment: Augment, preprocess: Preprocess) -> None:
        chosen: dict[str, Any] = {
            "scale": augment.scale,
            "ratio": augment.ratio,
            "hflip": 0.0,
            "color_jitter": augment.color_jitter or None,
            "auto_augment": augment.auto_augment,
            "interpolation": preprocess.interpolation,
            "mean": preprocess.mean,
        }
        check_policy(augment)
        resized_crop, self.colours, _ = create_transform(
            preprocess.sides, is_training=True, separate=True, **chosen
        )
        self.resize = resized_crop if augment.scale else before_changes(augment, preprocess)
        self.sides, self.padding = preprocess.sides, augment.crop_padding

    def __call__(self, image: Image.Image, draws: Draws, number: int) -> Image.Image:
        """`image` changed by number `number` of the draws."""
        image = self.resize(image)
        if self.padding:
            image = self._crop(image, draws.top[number], draws.left[number])
        if draws.hflip[number]:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if draws.vflip[number]:
            image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        return self.colours(image)

    def _crop(self, image: Image.Image, top: np.float32, left: np.float32) -> Image.Image:
        """A window of the image in a black frame."""
        height, width = self.sides
        spare = 2 * self.padding + 1
        x = int(place(left, image.width - width + spare)) - self.padding
        y = int(place(top, image.height - height + spare)) - self.padding
        return image.crop((x, y, x + width, y + height))


def check_policy(augment: Augment) -> None:
    """Raises DataError for an `auto_augment` that timm does not know."""
    policy = augment.auto_augment
    if policy is None:
        return
    try:
        create_transform(SMALL, is_training=True, auto_augment=policy)
    except Exception as error:  # timm asserts, looks up and converts what it finds in the words
        raise DataError(
            f'timm has no augmentation "{policy}"',
            "data.augment.auto_augment is a policy of timm, such as rand-m9-mstd0.5",
        ) from error


SMALL = 32
"""Pixels of an image; any will do."""


def _resize(preprocess: Preprocess) -> Callable[[Any], Any]:
    """To the smallest size of the image's own shape that covers the one that is wanted."""
    if not isinstance(preprocess.img_size, int):
        return ResizeKeepRatio(preprocess.sides, interpolation=preprocess.interpolation)
    interpolation = str_to_interp_mode(preprocess.interpolation)
    return transforms.Resize(preprocess.img_size, interpolation)


def before_changes(augment: Augment | None, preprocess: Preprocess) -> Callable[[Any], Any]:
    """PIL image to PIL image: what happens to it every time, before anything random does.

    For training it is what comes before the crop of `augment`, for testing (None) everything but the
    normalisation.
    """
    if augment is None:
        whole: Any = test_transform(preprocess)
        return transforms.Compose([one for one in whole.transforms if not _makes_tensor(one)])
    resize = _resize(preprocess)
    if augment.crop_padding:
        return resize
    return transforms.Compose([resize, transforms.CenterCrop(preprocess.sides)])


def _makes_tensor(transform: Any) -> bool:
    return isinstance(transform, (MaybeToTensor, transforms.Normalize))


def resizes(side: tuple[int, int], preprocess: Preprocess) -> bool:
    """Whether test images of that height and width would be resized or cropped."""
    return side != preprocess.sides or any(
        math.floor(size / preprocess.crop_pct) != size for size in preprocess.sides
    )


def one_by_one(augment: Augment) -> str | None:
    """The name of a change that is only made image by image; None: there is none."""
    names = ("scale", "color_jitter", "auto_augment")
    return next((name for name in names if getattr(augment, name)), None)


class BatchTransform:
    """uint8 [B, 3, H, W] to normalised float32 [B, 3, H, W], all images of a batch at once.

    Written in numpy, which stays on one thread: torch spreads such a batch over all cores, and where
    those are busy it then waits a hundred times longer than the work takes.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        self.mean = 255 * np.array(preprocess.mean, np.float32)[:, None, None]
        self.std = 255 * np.array(preprocess.std, np.float32)[:, None, None]

    def __call__(self, pixels: Pixels, box: NDArray[np.int64] | None = None) -> Tensor:
        """`box`: the rectangle that is erased in each image, as `Draws.box` has it."""
        batch = pixels.astype(np.float32)
        batch -= self.mean
        batch /= self.std
        if box is not None:
            for number in np.flatnonzero(box[:, 1]):
                top, bottom, left, right = box[number]
                batch[number, :, top:bottom, left:right] = 0
        return torch.from_numpy(batch)


def crop(batch: Pixels, padding: int, draws: Draws) -> Pixels:
    """Pad by `padding` zeros on every side, then cut the old size out, at its own place per image."""
    if not padding:
        return batch
    images, channels, height, width = batch.shape
    padded = np.zeros((images, channels, height + 2 * padding, width + 2 * padding), np.uint8)
    padded[:, :, padding:-padding, padding:-padding] = batch
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    top, left = (place(numbers, 2 * padding + 1) for numbers in (draws.top, draws.left))
    return windows[np.arange(images), :, top, left]


def flip(batch: Pixels, chosen: NDArray[np.bool_], axis: int) -> None:
    """Mirror the images that are `chosen` along `axis`, in place."""
    if chosen.any():
        batch[chosen] = np.flip(batch[chosen], axis)
