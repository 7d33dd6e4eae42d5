"""Data set names to data sets: `digits`, `cifar10`, `folder`, `csv`, and timm's `torch/…` and `hfds/…`."""

from __future__ import annotations

import contextlib
import functools
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timm.data import create_dataset
from torchvision.datasets.folder import default_loader

from binarize.data.decode import decode_file
from binarize.data.digits import digits
from binarize.data.files import (
    LAYOUT,
    Say,
    Unlabelled,
    first_of,
    open_source,
    open_unlabelled,
    silent,
    splits_of,
)
from binarize.data.holdout import set_aside, trained_on
from binarize.data.images import CachedImages, Images, cache
from binarize.data.splits import Source, Splits
from binarize.errors import DataError, did_you_mean
from binarize.progress import Progress
from binarize.recipe.images import FILES, LIST

if TYPE_CHECKING:
    from binarize.recipe import Data

DOWNLOADS = Path("data")
BUILT_IN = ("digits", "cifar10", *FILES)
HUB = "hfds/"
ASIDE = "set some aside to judge by: --set data.holdout=0.2, or a number of them"
PREFIXES = ("torch/", HUB)
SPLIT_NAMES = {
    "train": ("train", "training"),
    "test": ("test", "val", "validation", "valid", "eval"),
}
"""What libraries call them."""
STREAMS = ("tfds/", "wds/", "hfids/")


class NotSplit(Unlabelled):
    """All images lie in one place, and none are set aside; labels they may have."""


def open_dataset(
    config: Data,
    split: str,
    classes: list[str] | None = None,
    *,
    download: bool = True,
    say: Say = silent,
    progress: Progress | None = None,
) -> Images | CachedImages:
    """The images of one split: (RGB PIL image, label) pairs with `.classes`.

    The splits: "train" and "test" as the data set has them, but for the training images that
    `data.holdout` sets aside: those are "holdout", and so are those of val/ where there is a test/ besides.
    Of one place without splits the test images are those set aside, or all of them where none are.
    They are decoded here where `data.cache` is true.
    `classes`, where given, are the names that a trained model knows, in the order of its logits.
    `download`: what is not there may be fetched; False where a run or an ONNX file names the data set, which
    must not decide that. `say` is told what was found in folders, and what was passed over and why. With
    `progress`, the headers of all files are read first, so that unreadable ones are known; they are left out
    where `data.on_error` is "skip".
    Where `data.labels` is false, all labels are 0 and there are no classes.
    Raises Unlabelled for a folder without classes, DataError for a data set that is missing, unreadable or
    of other classes, and for a holdout that leaves less than a batch.
    """
    opened = functools.partial(_opened, config, download=download, say=say, progress=progress)
    if config.name in FILES and config.labels is False:
        whole = "test" if split == "test" else "train"
        images: Images | CachedImages = open_unlabelled(
            _place(config), whole, say, config.on_error, progress
        )
        images = images if split == "test" else _part(config, split, images)
    elif (splits := _splits(config)) is None:
        images = opened("test") if split == "test" else _part(config, split, opened("train"))
    else:
        if splits.beside:
            say(f'"{config.dir}": passed over beside the splits: {first_of(splits.beside)}')
        images = _of_splits(config, splits, split, classes, opened)
    if classes is not None and images.classes != classes and config.labels is not False:
        images = images.numbered(classes, f'data set "{config.name}"')
    return cache(images) if config.cache is True and isinstance(images, Images) else images


def sources_beside_training(config: Data) -> list[str]:
    """Which of "holdout" and "test" have images of their own: no part of the training images.

    Raises DataError where the data set is missing or unreadable, and where there is nothing to judge by.
    """
    splits = None if config.labels is False else _splits(config)
    if splits is None:
        return ["test"]
    own = [*["holdout"] * (splits.val is not None), *["test"] * (splits.test is not None)]
    if not own and not config.holdout:
        if not splits.whole:
            raise Unlabelled(f'"{config.dir}" holds no test images', f"{ASIDE}; {LAYOUT}")
        raise NotSplit(
            f'"{config.dir}" has no train/ and test/, and no images are set aside', ASIDE
        )
    return own


def has_split(config: Data, split: str) -> bool:
    """Whether there are images of "test", or of "holdout": to judge by, apart from those of the test.

    Raises DataError where the data set is missing or unreadable.
    """
    splits = None if config.labels is False else _splits(config)
    if split == "holdout":
        return bool(config.holdout) or (splits is not None and splits.val is not None)
    return splits is None or splits.test is not None


def _splits(config: Data) -> Splits | None:
    """Where the splits of a data set of files lie; None: it is none of files, and has train and test."""
    if config.name in FILES:
        return splits_of(_place(config), lists_first=config.name == LIST)
    if config.name == "cifar10":
        root = Path(config.dir) if config.dir else DOWNLOADS / "cifar10"
        if root.exists() or config.dir:
            splits = splits_of(root)
            return None if splits.whole and root.is_dir() else splits
    return None


def _place(config: Data) -> Path:
    if config.dir is None:
        raise DataError(
            f'data set "{config.name}" needs a folder', "name it, or a tar or CSV: --data-dir DIR"
        )
    return Path(config.dir)


def _part(config: Data, split: str, images: Images | CachedImages) -> Images | CachedImages:
    return {"train": trained_on, "holdout": set_aside}[split](images, config)


def _of_splits(
    config: Data,
    splits: Splits,
    split: str,
    classes: list[str] | None,
    opened: Callable[..., Images | CachedImages],
) -> Images | CachedImages:
    """The images of one split of a data set of files."""
    if splits.val is not None and config.holdout:
        raise DataError(
            f'data.holdout sets training images aside, and "{splits.val}" is there to judge by',
            "omit one of them: --set data.holdout=0",
        )
    if split == "holdout" and splits.val is not None:
        return opened(splits.val, classes)
    source = splits.test
    if split == "test" and source is not None:
        return opened(source, classes)
    if splits.train is None or (split == "test" and not splits.whole and not config.holdout):
        raise Unlabelled(f'"{config.dir}" holds no {split} images', LAYOUT)
    if split == "test" and not config.holdout:
        return opened(splits.train, classes)
    whole = opened(splits.train)  # numbered alike for both parts
    if split == "test":
        return set_aside(whole, config.model_copy(update={"batch_size": 1}))  # none need be left
    return _part(config, split, whole)


def _opened(
    config: Data,
    source: Source | str,
    classes: list[str] | None = None,
    *,
    download: bool,
    say: Say,
    progress: Progress | None,
) -> Images | CachedImages:
    """All images of a source, or of one of a library's own splits."""
    if isinstance(source, Source):
        return open_source(source, classes, on_error=config.on_error, say=say, progress=progress)
    if config.name == "digits":
        return digits(source)
    if config.name == "cifar10":
        root = config.dir or str(DOWNLOADS / "cifar10")
        return _from_timm("torch/cifar10", root, source, download)
    return _from_timm(config.name, config.dir, source, download)


def _from_timm(name: str, root: str | None, split: str, download: bool) -> Images:
    _check_name(name)
    if not download and name.startswith(HUB):
        raise DataError(
            f'data set "{name}" comes from a hub, which is asked in training alone',
            "give its images in folders: --data-dir DIR",
        )
    folder = Path(root) if root else DOWNLOADS / name.partition("/")[2]
    was_there = folder.exists()
    try:
        dataset = _create(name, folder, split, download)
    except ImportError as error:
        raise DataError(
            f'data set "{name}" needs the package "{error.name}"', "install it"
        ) from error
    except Exception as error:  # whatever the library behind timm, the network or the disk raised
        if not was_there:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                folder.parent.rmdir()
        reason = str(error).splitlines()[0].rstrip(": ") if str(error) else type(error).__name__
        raise DataError(
            f'data set "{name}" was neither found in "{folder}" nor downloaded: {reason}',
            "--data-dir names the folder where it lies",
        ) from error
    return Images(_undecoded(dataset), _class_names(dataset))


def _undecoded(dataset: Any) -> Any:
    """A library's data set, whose images become RGB by the rules of `decode` and not by its own."""
    if hasattr(dataset, "input_img_mode"):  # timm's readers of hubs
        dataset.input_img_mode = None
    if getattr(dataset, "loader", None) is default_loader:  # torchvision's folders
        dataset.loader = decode_file
    return dataset


def _create(name: str, folder: Path, split: str, download: bool) -> Any:
    """timm's data set of the first name of that split that it knows."""
    unknown: Exception | None = None
    for split_name in SPLIT_NAMES[split]:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # torchvision prints; stdout is for data
                return create_dataset(
                    name, root=str(folder), split=split_name, download=download, search_split=False
                )
        except (ValueError, KeyError, AssertionError) as error:
            unknown = unknown or error
    raise unknown or ValueError(split)


def _check_name(name: str) -> None:
    if name.startswith(STREAMS):
        raise DataError(
            f'data set "{name}" is a stream, which cannot be shuffled and resumed exactly',
            "use folders of images, torch/… or hfds/…",
        )
    if not name.startswith(PREFIXES):
        hint = did_you_mean(name, BUILT_IN) or f"use {', '.join(BUILT_IN)}, torch/… or hfds/…"
        raise DataError(f'there is no data set "{name}"', hint)


def _class_names(dataset: Any) -> list[str]:
    names = getattr(dataset, "classes", None)
    if names is None:
        features = dataset.reader.dataset.features
        label = next((f for f in features.values() if hasattr(f, "names")), None)
        names = label.names if label is not None else None
    if names is None:
        raise DataError("the data set does not tell its classes", "use folders of images instead")
    return [str(name) for name in names]
