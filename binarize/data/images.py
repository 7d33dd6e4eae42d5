"""The two forms of a data set here: images that are decoded when asked for, and images held in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Subset

from binarize.data.decode import UnreadableImage, to_rgb, why
from binarize.errors import BinarizeError, DataError

Transform = Callable[[Any], Any]


class LabelledImages(Protocol):
    """Anything with a length whose items are (PIL image, label)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Image.Image, int]: ...


def labels_of(images: Any) -> Tensor:
    """int64 [N]: the labels of a data set, without decoding an image where it can tell them otherwise."""
    if isinstance(images, Subset):
        return labels_of(images.dataset)[torch.as_tensor(images.indices)]
    if hasattr(images, "label"):
        return torch.tensor([images.label(index) for index in range(len(images))])
    told = torch.as_tensor(getattr(images, "targets", ()))  # torchvision's data sets
    if told.shape != (len(images),):
        told = torch.tensor([images[index][1] for index in range(len(images))])
    return told.long()


def renumbered(found: list[str], wanted: list[str], what: str) -> list[int]:
    """The number that each class of a data set has among those of a model.

    Raises DataError where one has none.
    """
    if not set(found) <= set(wanted):
        raise other_classes(what, found, wanted)
    return [wanted.index(name) for name in found]


def other_classes(what: str, found: list[str], wanted: list[str]) -> DataError:
    """The error for data whose classes are not those that the model knows."""
    strange = [name for name in found if name not in wanted]
    return DataError(
        f"{what} has {len(found)} classes and the model knows {len(wanted)}: "
        f'"{strange[0]}" is not among them',
        "evaluate on the data that the model was trained for, or train it on these",
    )


class _Numbered:
    """Images with other labels."""

    def __init__(self, images: Any, numbers: list[int]) -> None:
        self.images, self._numbers = images, numbers
        self._labels = labels_of(images).tolist()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return self.images[index][0], self.label(index)

    def name(self, index: int) -> str:
        return name_of(self.images, index)

    def label(self, index: int) -> int:
        return self._numbers[self._labels[index]]


def whole_of(images: Any) -> int:
    """How many images there are in the data set that these are a part of."""
    if isinstance(images, Subset):
        return whole_of(images.dataset)
    if isinstance(images, (Images, _Numbered)):
        return whole_of(images.images)
    return len(images)


def name_of(images: Any, index: int) -> str:
    """The path of an image of a data set of files; of another data set its number."""
    if isinstance(images, Subset):
        return name_of(images.dataset, images.indices[index])
    if isinstance(images, Images):
        return name_of(images.images, index)
    return images.name(index) if hasattr(images, "name") else str(index)


class Images(Dataset[tuple[Any, int]]):
    """RGB images with labels, decoded one by one; `transform` is applied to each PIL image."""

    def __init__(self, images: LabelledImages, classes: list[str]) -> None:
        self.images = images
        self.classes = classes
        self.transform: Transform | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        try:
            image, label = self.images[index]
            image = to_rgb(image)
        except (BinarizeError, IndexError):
            raise
        except Exception as error:  # whatever the library behind the data set raised
            problem = f"image {index} of the data set cannot be read: {why(error)}"
            raise UnreadableImage(problem) from error
        return self.transform(image) if self.transform else image, int(label)

    @property
    def labels(self) -> Tensor:
        """int64 [N]."""
        return labels_of(self.images)

    def numbered(self, classes: list[str], what: str) -> Images:
        """The same data set, which is called `what`, with the labels that its classes have in this list.

        Raises DataError where it does not have all of them.
        """
        return Images(_Numbered(self.images, renumbered(self.classes, classes, what)), classes)

    def only(self, indices: Sequence[int]) -> Images:
        """The same data set with these images alone."""
        images: Any = self.images  # torch asks for a Dataset, and any sequence of items does
        return Images(Subset(images, indices), self.classes)


class CachedImages(Dataset[tuple[Any, int]]):
    """RGB images of one size, decoded beforehand.

    Attributes:
        pixels: uint8 [N, 3, H, W]
        labels: int64 [N]
        classes: names in the order of the labels
        transform: applied to each image, as a PIL image
    """

    def __init__(self, pixels: Tensor, labels: Tensor, classes: list[str]) -> None:
        self.pixels = pixels
        self.labels = labels
        self.classes = classes
        self.transform: Transform | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = Image.fromarray(self.pixels[index].permute(1, 2, 0).contiguous().numpy())
        return self.transform(image) if self.transform else image, int(self.labels[index])

    def numbered(self, classes: list[str], what: str) -> CachedImages:
        """As `Images.numbered`."""
        numbers = torch.tensor(renumbered(self.classes, classes, what))
        return CachedImages(self.pixels, numbers[self.labels], classes)

    def only(self, indices: Sequence[int]) -> CachedImages:
        """The same data set with these images alone."""
        chosen = torch.as_tensor(indices)
        return CachedImages(self.pixels[chosen], self.labels[chosen], self.classes)


class CachedBatches(Dataset[tuple[Any, Tensor]]):
    """Cached images of which a batch is fetched and transformed in one go.

    `transform` takes a numpy array, uint8 [B, 3, H, W].
    """

    def __init__(self, cached: CachedImages, transform: Transform) -> None:
        self.cached, self.transform = cached, transform
        self.classes = cached.classes

    def __len__(self) -> int:
        return len(self.cached)

    def __getitems__(self, indices: list[int]) -> tuple[Any, Tensor]:
        pixels = self.cached.pixels.numpy()[indices]
        labels = self.cached.labels[torch.tensor(indices)]
        return self.transform(pixels), labels


class _Decoded:
    """Images of several sizes, decoded beforehand."""

    def __init__(self, items: list[tuple[np.ndarray, int]]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        array, label = self.items[index]
        return Image.fromarray(array), label


def cache(images: Images | CachedImages) -> Images | CachedImages:
    """Decode and transform every image once; what comes back reads from memory only."""
    first = np.asarray(images[0][0])
    pixels = np.empty((len(images), 3, *first.shape[:2]), np.uint8)
    labels = np.empty(len(images), np.int64)
    for index in range(len(images)):
        image, label = images[index]
        array = np.asarray(image)
        if array.shape != first.shape:
            return _cache_sizes(images)
        pixels[index] = array.transpose(2, 0, 1)
        labels[index] = label
    return CachedImages(torch.from_numpy(pixels), torch.from_numpy(labels), images.classes)


def _cache_sizes(images: Images | CachedImages) -> Images:
    decoded = [
        (np.asarray(image), label) for image, label in map(images.__getitem__, range(len(images)))
    ]
    return Images(_Decoded(decoded), images.classes)
