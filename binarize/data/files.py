"""Image files on disk: one folder per class, in a folder or a tar, or a list of paths and labels."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from binarize.choices import OnError
from binarize.data.check import Sizes, check
from binarize.data.decode import UnreadableImage, decode, why
from binarize.data.images import Images, other_classes
from binarize.data.label_files import ANNOTATIONS, CSV, read_annotations, read_csv
from binarize.data.listing import Listing, Unlabelled, by_class, list_images, natural
from binarize.data.splits import Source, Splits, find_splits
from binarize.errors import DataError
from binarize.progress import Progress

LAYOUT = (
    "it needs train/ and test/ (or val/) with a folder per class, or one folder of classes and data.holdout; "
    "the same in a tar; or a CSV of path,label"
)
HINT = f"--data-dir names it; {LAYOUT}"

TEST_SHARE, MOST_TESTED = 8, 256
"""Of images without labels and without a split: one in so many is not trained on, and no more than that."""

Say = Callable[[str], None]


def silent(_: str) -> None:
    """For callers who have nobody to tell."""


def once(say: Say) -> Say:
    """`say`, but for what it was told before."""
    said: set[str] = set()

    def say_once(text: str) -> None:
        if text not in said:
            said.add(text)
            say(text)

    return say_once


class ImageFiles:
    """(RGB image, label) pairs from a folder, a tar or a CSV; nothing stays open between two of them.

    Args:
        source: the folder, tar or CSV.
        labelled: whether images belong to classes; else all of them have the label 0.

    Attributes:
        classes: names of the classes that have images, in natural order.
        summary: one sentence: what was found, and what was passed over and why.

    Raises DataError where there is no image, or folders are nested, and OSError and tarfile.TarError where
    it cannot be read.
    """

    def __init__(self, source: Path | Source, labelled: bool = True) -> None:
        self.source = Source(source) if isinstance(source, Path) else source
        self.root = self.source.path
        listing, names = self._listed(labelled)
        self.files, self._skipped = listing.files, listing.skipped
        self.sizes: Sizes | None = None
        if not self.files:
            raise DataError(f'"{self.source}" holds no images{self._besides()}', LAYOUT)
        if names is None:
            files, names = by_class(listing, self.root) if labelled else (self.files, None)
            if not files:
                what = "does not have at least two classes"
                raise Unlabelled(f'"{self.source}" {what}{self._besides()}', LAYOUT)
            self.files = files
        self._name(names or [""] * len(self.files))

    def _listed(self, labelled: bool) -> tuple[Listing, list[str] | None]:
        """The images, and the class of each where it is written down."""
        path, inside = self.source
        if path.suffix.lower() == CSV:
            self.root = path.parent
            listing, names = read_csv(path)
            return listing, names if labelled else None
        listing = list_images(path)
        if inside:
            listing = listing.under(inside)
        if labelled and (path / ANNOTATIONS).is_file():
            return listing, read_annotations(path, listing)
        return listing, None

    def _name(self, names: list[str]) -> None:
        self.classes = sorted(set(names), key=natural)
        self.labels = self._numbered(names, self.classes)

    def number(self, classes: list[str]) -> None:
        """Number the classes as in this list, which has all of them."""
        names = [self.classes[label] for label in self.labels]
        self.labels, self.classes = self._numbered(names, classes), classes

    def only(self, numbers: list[int]) -> None:
        """Leave these images alone."""
        names = [self.classes[self.labels[number]] for number in numbers]
        self.files = [self.files[number] for number in numbers]
        self._name(names)

    def check(
        self, on_error: OnError, progress: Progress | None = None, whole: bool | None = None
    ) -> None:
        """Look at the header of every image; `sizes` is known then.

        Those that cannot be read are left out where `on_error` is "skip", and all are decoded once to know,
        unless `whole` says otherwise; else DataError names the first.
        """
        whole = on_error == "skip" if whole is None else whole
        self.sizes, bad = check(self, on_error, progress or Progress(), whole)
        if bad:
            for number, reason in bad.items():
                self._skipped.add("unreadable", f"{self.files[number].path} ({reason})")
            self.only([number for number in range(len(self)) if number not in bad])

    @property
    def skipped(self) -> str:
        """What was passed over, and why; "" where nothing was."""
        return str(self._skipped)

    @property
    def summary(self) -> str:
        there = f"{len(set(self.labels)):,} classes" if len(self.classes) > 1 else "no classes"
        sizes = f", {self.sizes}" if self.sizes else ""
        return f'"{self.source}": {len(self):,} images of {there}{sizes}{self._besides()}'

    def _besides(self) -> str:
        return f"; skipped: {self.skipped}" if self.skipped else ""

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        try:
            with self.opened(index) as file:
                image = decode(file)
        except (OSError, ValueError, MemoryError) as error:
            raise UnreadableImage(
                f'image "{self.files[index].path}" of "{self.source}" cannot be read: {why(error)}'
            ) from error
        return image, self.label(index)

    def name(self, index: int) -> str:
        """The path of an image under the folder, or in the tar."""
        return self.files[index].path

    def label(self, index: int) -> int:
        return self.labels[index]

    @contextlib.contextmanager
    def opened(self, index: int) -> Iterator[IO[bytes]]:
        """The bytes of an image. Raises OSError."""
        file = self.files[index]
        if file.size < 0:
            path = self.root / file.path
            if not path.is_file():  # a list may name anything, and a pipe would be waited for
                raise FileNotFoundError("there is no such file")
            with path.open("rb") as whole:
                yield whole
            return
        with self.root.open("rb") as tar:
            tar.seek(file.start)
            yield io.BytesIO(tar.read(file.size))

    @staticmethod
    def _numbered(names: list[str], classes: list[str]) -> list[int]:
        numbers = {name: number for number, name in enumerate(classes)}
        return [numbers[name] for name in names]


def splits_of(root: Path, lists_first: bool = False) -> Splits:
    """The splits of a data set. Raises DataError where it is not there, or cannot be read."""
    if not root.exists():
        raise DataError(f'data folder "{root}" does not exist', HINT)
    try:
        return find_splits(root, lists_first)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if root.is_file():
            raise DataError(
                f'"{root}" is a file, not a folder, a tar or a CSV: {why(error)}',
                f"unpack it, if it is an archive of another kind; {HINT}",
            ) from error
        raise _unreadable(root, error) from error


def open_files(
    root: Path,
    split: str,
    classes: list[str] | None = None,
    say: Say = silent,
) -> Images:
    """The images of one split under `root`, "train" or "test"; see `open_source`.

    Raises DataError where there are none.
    """
    source = getattr(splits_of(root), split)
    if source is None:
        raise Unlabelled(f'"{root}" holds no {split} images', LAYOUT)
    return open_source(source, classes, say=say)


def open_source(
    source: Source,
    classes: list[str] | None = None,
    *,
    on_error: OnError = "stop",
    say: Say = silent,
    progress: Progress | None = None,
) -> Images:
    """The images of one source, with their labels.

    With `classes`, labels are numbered in that order, and a folder of another name is an error. `say` is
    told in one sentence what was found, and what was passed over and why. With `progress`, or where errors
    are skipped, the headers of all images are read first.
    Raises DataError where there is nothing that can be read.
    """
    found = _open(source)
    if progress is not None or on_error == "skip":
        found.check(on_error, progress)
    if len(found.classes) < 2 and classes is None:
        raise Unlabelled(f'"{source}" does not have at least two classes', LAYOUT)
    if classes is not None:
        if not set(found.classes) <= set(classes):
            raise other_classes(f'"{source}"', found.classes, classes)
        missing = [name for name in classes if name not in set(found.classes)]
        found.number(classes)
        say(found.summary)
        if missing:
            say(f'"{source}" has no images of {first_of(missing)}')
    else:
        say(found.summary)
    return Images(found, found.classes)


def open_unlabelled(
    root: Path,
    split: str,
    say: Say = silent,
    on_error: OnError = "stop",
    progress: Progress | None = None,
) -> Images:
    """The images under a folder or in a tar, in whatever folders they lie; their labels are 0, and there are
    no classes.

    Of a folder that has both splits they are those of `split`; else the test images are some that are spread
    over the training images, or over all there are, and are not trained on.
    Raises DataError where there are none.
    """
    found_splits = splits_of(root)
    training = found_splits.train or Source(root)
    whole = found_splits.train is None or found_splits.test is None
    source = training if whole or split == "train" else found_splits.test or training
    found = _open(source, labelled=False)
    if progress is not None or on_error == "skip":
        found.check(on_error, progress)
    say(found.summary)
    unused = [*found_splits.beside, *([str(found_splits.val)] if found_splits.val else [])]
    if unused:
        say(f'"{root}": passed over beside the splits: {first_of(unused)}')
    images = Images(found, [])
    if not whole:
        return images
    count = min(MOST_TESTED, len(images) // TEST_SHARE) or 1
    tested = set(np.linspace(0, len(images) - 1, count).round().astype(int).tolist())
    return images.only([n for n in range(len(images)) if (n in tested) == (split == "test")])


def _open(source: Source, labelled: bool = True) -> ImageFiles:
    try:
        return ImageFiles(source, labelled)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise _unreadable(source, error) from error


def _unreadable(source: Path | Source, error: Exception) -> DataError:
    return DataError(f'"{source}" cannot be read: {why(error)}', "make or download it again")


NAMED = 5


def first_of(names: Sequence[str]) -> str:
    """`cat, dog and 3 more`."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
