"""Which images of a data set are for what: train/, val/ and test/, or one place for all.

    train/ test/            trained on, scored
    train/ val/             the same: val/ is the test set where there is no other
    train/ val/ test/       val/ judges every epoch and picks the best, test/ is scored once, at the end
    anything else           one place: `data.holdout` says how many of its images are not trained on

Each of them is a folder (`train`), a tar (`train.tar`) or a list (`train.csv`), in capitals or not; all of
them may lie in a folder of their own, or in one tar. A test set without labels, as competitions have it,
is passed over where there is a val/.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from binarize.data.label_files import ANNOTATIONS, CSV
from binarize.data.listing import list_images, passed_over

NAMES = {
    "train": ("train", "training"),
    "val": ("val", "validation", "valid", "dev"),
    "test": ("test", "testing", "eval"),
}
_ROLE = {name: role for role, names in NAMES.items() for name in names}
IMAGES = "images"
"""The folder of a split that is no class (Tiny-ImageNet's val/images)."""


class Source(NamedTuple):
    """Images in one place.

    Attributes:
        path: a folder, a tar or a CSV file.
        inside: of a tar, the folder in it with a slash behind, or "".
    """

    path: Path
    inside: str = ""

    def __str__(self) -> str:
        return str(self.path / self.inside) if self.inside else str(self.path)


@dataclass(frozen=True)
class Splits:
    """Where the images of each split lie.

    Attributes:
        train: what is trained on; of a data set without splits, all there is.
        val: what judges and picks, where there are images to test besides.
        test: what is scored at the end.
        whole: whether there are no splits.
        beside: what lies beside the splits and is passed over, and why.
    """

    train: Source | None = None
    val: Source | None = None
    test: Source | None = None
    whole: bool = False
    beside: tuple[str, ...] = ()


def find_splits(root: Path, lists_first: bool = False) -> Splits:
    """The splits under a folder, or in a tar. `lists_first`: of train/ and train.csv the list is meant.

    Raises OSError and tarfile.TarError where it cannot be read.
    """
    if root.is_dir():
        found = _in_folder(root, lists_first)
    elif root.suffix.lower() == CSV:
        found = None
    else:
        listing = list_images(root)
        found = _in_tar(root, "", [f"{'/'.join(file.folders)}/" for file in listing.files])
    return found or Splits(train=Source(root), whole=True)


def _in_folder(root: Path, lists_first: bool) -> Splits | None:
    with os.scandir(root) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    entries = [entry for entry in entries if passed_over(entry.name) is None]
    names = [entry.name for entry in entries]
    folders = {entry.name for entry in entries if entry.is_dir()}
    kinds = (".tar", "", CSV) if not lists_first else (CSV, ".tar", "")
    roles = {name: role for name in names if (role := _role(name, name in folders)) is not None}
    if roles:
        order = {name: kinds.index("" if name in folders else _ending(name)) for name in roles}
        sources = {name: Source(root / name) for name in roles}
        return _chosen(sources, roles, order, folders)
    inside = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
    return _in_folder(root / inside[0].name, lists_first) if len(inside) == 1 else None


def _in_tar(root: Path, prefix: str, folders: list[str]) -> Splits | None:
    """`folders`: of all images in the tar, each with a slash behind."""
    below = [folder[len(prefix) :].split("/")[0] for folder in folders if folder != prefix]
    names = sorted(set(below))
    roles = {name: role for name in names if (role := _role(name, True)) is not None}
    if roles:
        sources = {name: Source(root, f"{prefix}{name}/") for name in names}
        return _chosen(sources, roles, dict.fromkeys(roles, 0), names)
    return _in_tar(root, f"{prefix}{names[0]}/", folders) if len(names) == 1 else None


def _ending(name: str) -> str:
    return Path(name).suffix.lower()


def _role(name: str, is_folder: bool) -> str | None:
    """The split that a folder or file of that name holds; None: it is none."""
    if is_folder:
        return _ROLE.get(name.lower())
    return _ROLE.get(Path(name).stem.lower()) if _ending(name) in (".tar", CSV) else None


def _chosen(
    sources: dict[str, Source], roles: dict[str, str], order: dict[str, int], folders: Iterable[str]
) -> Splits:
    """One source for each split; what else there is is passed over, and named."""
    chosen: dict[str, str] = {}
    for role, known in NAMES.items():
        names = [name for name in roles if roles[name] == role]
        stems = {name: _rank(name, known) for name in names}
        if names:
            chosen[role] = min(names, key=lambda name: (order[name], stems[name], name))
    others = sorted({*roles, *folders} - {*chosen.values()})
    train, val, test = (sources[chosen[role]] if role in chosen else None for role in NAMES)
    found = Splits(train, val, test, beside=tuple(others))
    if found.test is None:
        return replace(found, test=found.val, val=None)
    if found.val is not None and not _has_labels(found.test):
        unlabelled = f"{chosen['test']} (no labels)"
        return replace(found, test=found.val, val=None, beside=(*found.beside, unlabelled))
    return found


def _rank(name: str, known: tuple[str, ...]) -> int:
    stem = name.lower()
    return known.index(stem) if stem in known else known.index(Path(stem).stem)


def _has_labels(source: Source) -> bool:
    """Whether there can be classes in it: folders besides `images`, or a list of labels."""
    if source.path.suffix.lower() == CSV:
        return True
    if source.path.is_dir():
        with os.scandir(source.path) as listed:
            entries = [entry for entry in listed if passed_over(entry.name) is None]
        return any(
            (entry.is_dir() and entry.name != IMAGES) or entry.name == ANNOTATIONS
            for entry in entries
        )
    files = [file.path for file in list_images(source.path).files]
    inside = [path[len(source.inside) :] for path in files if path.startswith(source.inside)]
    return any("/" in path and not path.startswith(f"{IMAGES}/") for path in inside)
