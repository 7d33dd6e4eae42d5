"""Image files on disk: one folder per class, under a folder or inside a tar."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from binarize.data.decode import UnreadableImage, decode, decode_file, why
from binarize.data.images import Images
from binarize.data.listing import ImageFile, by_class, list_images, natural
from binarize.errors import DataError

SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "val", "validation", "valid", "eval"),
}
LAYOUT = "it needs train/ and test/ (or val/) with a folder per class, or train.tar and test.tar"
HINT = f"--data-dir names it; {LAYOUT}"

TEST_SHARE, MOST_TESTED = 8, 256
"""Of images without labels and without a split: one in so many is not trained on, and no more than that."""

Say = Callable[[str], None]


def silent(_: str) -> None:
    """For callers who have nobody to tell."""


class Unlabelled(DataError):
    """There is no folder per class where labels are needed: the images may be there all the same."""


class ImageFiles:
    """(RGB image, label) pairs from a folder or a tar; nothing stays open between two of them.

    Args:
        root: the folder or tar.
        labelled: whether images belong to classes; else all of them have the label 0.

    Attributes:
        classes: names of the classes that have images, in natural order.
        summary: one sentence: what was found, and what was passed over and why.

    Raises DataError where there is no image, or folders are nested, and OSError and tarfile.TarError where
    the folder or tar cannot be read.
    """

    def __init__(self, root: Path, labelled: bool = True) -> None:
        self.root = root
        listing = list_images(root)
        self.files, names = listing.files, [""] * len(listing.files)
        if labelled:
            self.files, names = by_class(listing, root)
        self.skipped = str(listing.skipped)
        if not self.files:
            besides = f"; skipped: {self.skipped}" if self.skipped else ""
            what = "does not have at least two classes" if listing.files else "holds no images"
            kind = Unlabelled if listing.files else DataError
            raise kind(f'"{root}" {what}{besides}', LAYOUT)
        self.classes = sorted(set(names), key=natural)
        self.labels = self._numbered(names, self.classes)

    def number(self, classes: list[str]) -> None:
        """Number the classes as in this list, which has all of them."""
        names = [self.classes[label] for label in self.labels]
        self.labels, self.classes = self._numbered(names, classes), classes

    @property
    def summary(self) -> str:
        there = f"{len(set(self.labels))} classes" if len(self.classes) > 1 else "no classes"
        besides = f"; skipped: {self.skipped}" if self.skipped else ""
        return f'"{self.root}": {len(self):,} images of {there}{besides}'

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        file = self.files[index]
        try:
            image = self._decoded(file)
        except (OSError, ValueError, MemoryError) as error:
            raise UnreadableImage(
                f'image "{file.path}" of "{self.root}" cannot be read: {why(error)}'
            ) from error
        return image, self.label(index)

    def label(self, index: int) -> int:
        return self.labels[index]

    def _decoded(self, file: ImageFile) -> Image.Image:
        if file.size < 0:
            return decode_file(self.root / file.path)
        with self.root.open("rb") as tar:
            tar.seek(file.start)
            return decode(io.BytesIO(tar.read(file.size)))

    @staticmethod
    def _numbered(names: list[str], classes: list[str]) -> list[int]:
        numbers = {name: number for number, name in enumerate(classes)}
        return [numbers[name] for name in names]


def find_split(root: Path, split: str) -> Path | None:
    """The folder or tar of that split under `root`, or None."""
    for name in SPLITS[split]:
        for path in (root / f"{name}.tar", root / name):
            if path.exists():
                return path
    return None


def open_files(
    root: Path,
    split: str,
    classes: list[str] | None = None,
    say: Say = silent,
) -> Images:
    """The images of one split under `root`.

    With `classes`, labels are numbered in that order, and a folder of another name is an error. `say` is
    told in one sentence what was found, and what was passed over and why.
    Raises DataError where there is nothing that can be read.
    """
    if not root.exists():
        raise _nowhere(root)
    if not root.is_dir():
        raise Unlabelled(f'data folder "{root}" is a file, not a folder', HINT)
    path = find_split(root, split)
    if path is None:
        raise Unlabelled(f'"{root}" holds no {split} images', LAYOUT)
    found = _open(path)
    if len(found.classes) < 2:
        raise Unlabelled(f'"{path}" does not have at least two classes', LAYOUT)
    if classes is not None:
        if not set(found.classes) <= set(classes):
            raise other_classes(f'"{path}"', found.classes, classes)
        found.number(classes)
    say(found.summary)
    return Images(found, found.classes)


def open_unlabelled(root: Path, split: str, say: Say = silent) -> Images:
    """The images under a folder or in a tar, in whatever folders they lie; their labels are 0, and there are
    no classes.

    Of a folder that has both splits they are those of `split`; else the test images are some that are spread
    over the training images, or over all there are, and are not trained on.
    Raises DataError where there are none.
    """
    if not root.exists():
        raise _nowhere(root)
    paths = [find_split(root, name) if root.is_dir() else None for name in ("train", "test")]
    training = paths[0] or root
    whole = None in paths
    path = training if whole else {"train": training, "test": paths[1] or root}[split]
    found = _open(path, labelled=False)
    say(found.summary)
    images = Images(found, [])
    if not whole:
        return images
    count = min(MOST_TESTED, len(images) // TEST_SHARE) or 1
    tested = set(np.linspace(0, len(images) - 1, count).round().astype(int).tolist())
    return images.only([n for n in range(len(images)) if (n in tested) == (split == "test")])


def _nowhere(root: Path) -> DataError:
    return DataError(f'data folder "{root}" does not exist', HINT)


def _open(path: Path, labelled: bool = True) -> ImageFiles:
    try:
        return ImageFiles(path, labelled)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise DataError(
            f'"{path}" cannot be read: {why(error)}', "make or download it again"
        ) from error


def other_classes(what: str, found: list[str], wanted: list[str]) -> DataError:
    """The error for data whose classes are not those that the model knows."""
    strange = [name for name in found if name not in wanted]
    shown = (
        f'"{strange[0]}" is not among them' if strange else "some are missing or in another order"
    )
    return DataError(
        f"{what} has {len(found)} classes and the model knows {len(wanted)}: {shown}",
        "evaluate on the data that the model was trained for, or train it on these",
    )
