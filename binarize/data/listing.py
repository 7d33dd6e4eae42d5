"""Which files of a folder or a tar are images, of which class, and what is passed over.

What begins with a dot is hidden, and what an operating system puts beside files (`SYSTEM`) is none of the
data's. Folders are read once each, links to folders after all others, so that a link to a parent adds
nothing. A tar inside a tar is a folder of its name.

Classes are the folders directly under the root, or under the only folder there; a class may keep its images
in a folder of its own (tiny-imagenet's `CLASS/images`), but in one only: what a folder with several such
means, a class or a group of classes, nobody can tell.
"""

from __future__ import annotations

import itertools
import os
import re
import tarfile
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from binarize.data.decode import EXTENSIONS
from binarize.errors import DataError

SYSTEM = frozenset(("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"))
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
}
"""How archives begin whose images cannot be read one by one."""
ARCHIVES = (".gz", ".tgz", ".xz", ".txz", ".bz2", ".tbz", ".tbz2", ".zst", ".zip", ".7z", ".rar")
NAMED = 3  # names that are said of what was skipped for the same reason


class Unlabelled(DataError):
    """There is no folder per class where labels are needed: the images may be there all the same."""


class ImageFile(NamedTuple):
    """Where an image is.

    Attributes:
        path: under the root, with slashes.
        start, size: its bytes in the tar; a size of -1: the whole file.
    """

    path: str
    start: int = 0
    size: int = -1

    @property
    def folders(self) -> tuple[str, ...]:
        return tuple(self.path.split("/")[:-1])


class Skipped:
    """What was passed over, by reason."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = defaultdict(int)
        self._names: dict[str, list[str]] = defaultdict(list)

    def add(self, reason: str, name: str) -> None:
        self._counts[reason] += 1
        if len(self._names[reason]) < NAMED:
            self._names[reason].append(name)

    def __str__(self) -> str:
        """`hidden: .cache, cat/._0.png; without an image: empty`; nothing where nothing was."""
        return "; ".join(self._reason(reason) for reason in self._counts)

    def _reason(self, reason: str) -> str:
        more = self._counts[reason] - len(self._names[reason])
        return f"{reason}: {', '.join(self._names[reason])}{f' and {more:,} more' if more else ''}"


class Listing:
    """The images under a root, in natural order of their names.

    Attributes:
        files: the images.
        folders: the folders that were looked into, as paths under the root.
        skipped: what is there besides.
    """

    def __init__(self) -> None:
        self.files: list[ImageFile] = []
        self.folders: list[str] = []
        self.skipped = Skipped()
        self._order: list[str] = []

    def add(self, name: str, file: ImageFile) -> None:
        """An image; its place among the others is that of `name`."""
        self.files.append(file)
        self._order.append(name)

    def under(self, folder: str) -> Listing:
        """What lies in a folder, whose path ends with a slash; the rest is others' business."""
        inside = Listing()
        inside.files = [file for file in self.files if file.path.startswith(folder)]
        inside.folders = [path for path in self.folders if path.startswith(folder)]
        inside.skipped = self.skipped
        return inside

    def only_last(self) -> None:
        """Of files of the same name, which a tar may hold, keep the last one, as unpacking it does."""
        last = {file.path: number for number, file in enumerate(self.files)}
        for number, file in enumerate(self.files):
            if last[file.path] != number:
                self.skipped.add("replaced later in the tar", file.path)
        kept = sorted(last.values())
        self.files = [self.files[number] for number in kept]
        self._order = [self._order[number] for number in kept]

    def sort(self) -> Listing:
        ranks = sorted(range(len(self.files)), key=lambda one: natural(self._order[one]))
        self.files = [self.files[one] for one in ranks]
        return self


def check_packed(path: Path) -> None:
    """Raises DataError for a compressed archive, OSError for a file that cannot be read."""
    with path.open("rb") as file:
        head = file.read(max(map(len, COMPRESSED)))
    for begin, kind in COMPRESSED.items():
        if head.startswith(begin):
            raise DataError(
                f'"{path}" is compressed ({kind}): its images cannot be read one by one',
                "unpack it into a folder, or decompress it to a plain tar",
            )


def list_images(root: Path) -> Listing:
    """The images in a folder or a tar. Raises OSError and tarfile.TarError where it cannot be read, and
    DataError for a compressed archive."""
    listing = Listing()
    if root.is_dir():
        _list_folder(root, listing)
    elif root.is_file():
        check_packed(root)
        with tarfile.open(root, "r:") as tar:
            _list_tar(tar, "", 0, listing)
        listing.only_last()
    else:
        raise OSError("it is neither a folder nor a file")
    return listing.sort()


def by_class(listing: Listing, root: Path) -> tuple[list[ImageFile], list[str]]:
    """The images that belong to a class, and the class of each.

    What has no class is added to `listing.skipped`. Raises DataError where folders are nested.
    """
    shared = _shared([file.folders[:-1] for file in listing.files])
    places: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    files, classes = [], []
    for file in listing.files:
        below = file.folders[shared:]
        if not below:
            listing.skipped.add("in no class's folder", file.path)
            continue
        files.append(file)
        classes.append(below[0])
        places[below[0]].add(file.folders)
    for name, folders in places.items():
        _check(name, folders, root)
    above = files[0].folders[:shared] if files else ()
    for folder in listing.folders:
        *parents, name = folder.split("/")
        if tuple(parents) == above and name not in places:
            listing.skipped.add("without an image", folder)
    return files, classes


def natural(name: str) -> tuple[list[int | str], str]:
    """A sort key: numbers in a name by their value, capitals like small letters; no two names are equal."""
    parts: list[int | str] = [*re.split(r"(\d+)", name.lower())]
    parts[1::2] = [int(str(digits)[:4000]) for digits in parts[1::2]]  # int() refuses more
    return parts, name


def _shared(folders: list[tuple[str, ...]]) -> int:
    """How many leading folders all of these paths have in common."""
    if not folders:
        return 0
    first, last = min(folders), max(folders)
    pairs = zip(first, last, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _check(name: str, folders: set[tuple[str, ...]], root: Path) -> None:
    """Raises DataError for a class of several folders, and for a name that no file format here can hold."""
    if len(folders) > 1:
        two = " and ".join(f'"{"/".join(folder)}"' for folder in sorted(folders)[:2])
        raise Unlabelled(
            f'folder "{name}" of "{root}" has images in {len(folders)} places, such as {two}: '
            "it is not clear which are the classes",
            f'put each class\'s images into one folder directly under "{root}"',
        )
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f'the folder {name!r} of "{root}" is not named in UTF-8', "rename it"
        ) from error


def passed_over(name: str) -> str | None:
    if name in SYSTEM:
        return "of the operating system"
    return "hidden" if name.startswith(".") else None


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def _what_else(name: str) -> str:
    """What a file is that is no image."""
    packed = name.lower().endswith(ARCHIVES)
    return "to be unpacked first" if packed else "not an image by its name"


def _list_folder(root: Path, listing: Listing) -> None:
    real, seen = root.resolve(), {_identity(root)}
    folders: list[str] = [""]
    links: list[str] = []
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        place = root / folder
        if folder:
            if _identity(place) in seen or real.is_relative_to(place.resolve()):
                listing.skipped.add("a link to a folder that is read already", folder)
                continue
            seen.add(_identity(place))
            listing.folders.append(folder)
        below, linked = _read_folder(place, f"{folder}/" if folder else "", listing)
        folders += reversed(below)
        links += linked


def _read_folder(place: Path, prefix: str, listing: Listing) -> tuple[list[str], list[str]]:
    """List the images directly in a folder; returns the folders in it, and the links to folders."""
    below: list[str] = []
    linked: list[str] = []
    with os.scandir(place) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = f"{prefix}{entry.name}"
        reason = passed_over(entry.name) or _no_file(entry)
        if reason == "a folder":
            (linked if entry.is_symlink() else below).append(path)
        elif reason is None and _is_image(entry.name):
            listing.add(f"/{path}", ImageFile(path))
        else:
            listing.skipped.add(reason or _what_else(path), path)
    return below, linked


def _no_file(entry: os.DirEntry[str]) -> str | None:
    """What an entry is that is not a file."""
    try:
        if entry.is_file():
            return None
        if entry.is_dir():
            return "a folder"
        entry.stat()
    except OSError:  # a link to nothing, or in a circle
        return "a broken link"
    return "not a file"


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _list_tar(tar: tarfile.TarFile, prefix: str, start: int, listing: Listing) -> None:
    """List the images in a tar that begins at byte `start` of the file, as a folder `prefix`."""
    for member in tar:
        parts = [part for part in PurePosixPath(member.name).parts if part != "/"]
        path = prefix + "/".join(parts)
        reason = next(filter(None, map(passed_over, parts)), None)
        if reason is None and member.isdir():
            if parts:
                listing.folders.append(path)
        elif reason is None and (not member.isfile() or member.issparse()):
            listing.skipped.add("not a file", path)
        elif reason is None and not prefix and path.lower().endswith(".tar"):
            with tarfile.open(fileobj=tar.extractfile(member), mode="r:") as inner:
                _list_tar(inner, f"{path[:-4]}/", member.offset_data, listing)
        elif reason is None and _is_image(path):
            listing.add(member.name, ImageFile(path, start + member.offset_data, member.size))
        else:
            listing.skipped.add(reason or _what_else(path), path)
