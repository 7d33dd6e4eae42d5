"""Image files on disk: one folder per class, under a folder or inside a tar, as timm's readers find them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from timm.data.readers import create_reader

from binarize.data.images import Images
from binarize.errors import DataError

SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "val", "validation", "valid", "eval"),
}
LAYOUT = "it needs train/ and test/ (or val/) with a folder per class, or train.tar and test.tar"


class UnreadableImage(DataError):
    """An image that cannot be decoded.

    Out of a worker process torch raises it once more, with the whole traceback for a message; the end
    of that is what was said first.
    """

    def __init__(self, message: str) -> None:
        said = message.rpartition(f"{type(self).__name__}: ")[2].strip()
        super().__init__(said, "replace it or take it away")


class ImageFiles:
    """(PIL image, label) pairs from a folder or a tar; nothing stays open between two of them."""

    def __init__(self, root: Path, classes: list[str] | None = None) -> None:
        self.root = root
        numbered = {name: index for index, name in enumerate(classes)} if classes else None
        self.reader = create_reader("", root=str(root), class_map=numbered)

    @property
    def classes(self) -> list[str]:
        folder = getattr(self.reader, "class_to_idx", None)
        numbered = folder if folder is not None else self.reader.class_name_to_idx
        return sorted(numbered, key=numbered.__getitem__)

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        try:
            image = Image.open(io.BytesIO(self._content(index))).convert("RGB")
        except (OSError, UnidentifiedImageError, ValueError) as error:
            name = self.reader.filename(index)
            raise UnreadableImage(f'image "{name}" of "{self.root}" cannot be read') from error
        return image, self.label(index)

    def label(self, index: int) -> int:
        if self.root.is_dir():
            return int(self.reader.samples[index][1])
        return int(self.reader.targets[index])

    def _content(self, index: int) -> bytes:
        if self.root.is_dir():
            return Path(self.reader.samples[index][0]).read_bytes()
        member, _, inner_tar = self.reader.samples[index]
        start = member.offset_data + (inner_tar.offset_data if inner_tar is not None else 0)
        with self.root.open("rb") as file:
            file.seek(start)
            return file.read(member.size)


def find_split(root: Path, split: str) -> Path | None:
    """The folder or tar of that split under `root`, or None."""
    for name in SPLITS[split]:
        for path in (root / f"{name}.tar", root / name):
            if path.exists():
                return path
    return None


def open_files(root: Path, split: str, classes: list[str] | None = None) -> Images:
    """The images of one split under `root`.

    With `classes`, labels are numbered in that order, and a folder of another name is an error.
    Raises DataError where there is nothing that can be read.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f'data folder "{root}" {what}', f"--data-dir names it; {LAYOUT}")
    path = find_split(root, split)
    if path is None:
        raise DataError(f'"{root}" holds no {split} images', LAYOUT)
    found = _open(path)
    if found.classes == [""] or len(found.classes) < 2:
        raise DataError(f'"{path}" does not have at least two classes', LAYOUT)
    if classes is None:
        return Images(found, found.classes)
    if not set(found.classes) <= set(classes):
        raise other_classes(f'"{path}"', found.classes, classes)
    return Images(_open(path, classes), classes)


def _open(path: Path, classes: list[str] | None = None) -> ImageFiles:
    try:
        files = ImageFiles(path, classes)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f'"{path}" cannot be read: {error}', "make or download it again") from error
    except (RuntimeError, ValueError) as error:  # timm's readers, where they find no image
        raise DataError(f'"{path}" holds no images', LAYOUT) from error
    return files


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
