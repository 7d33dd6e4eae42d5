"""Data set names to data sets: `digits`, `cifar10`, `folder`, and timm's `torch/…` and `hfds/…`."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timm.data import create_dataset
from torchvision.datasets.folder import default_loader

from binarize.data.decode import decode_file
from binarize.data.digits import digits
from binarize.data.files import (
    SPLITS,
    Say,
    find_split,
    open_files,
    open_unlabelled,
    other_classes,
    silent,
)
from binarize.data.holdout import set_aside, trained_on
from binarize.data.images import CachedImages, Images, cache
from binarize.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from binarize.recipe import Data

DOWNLOADS = Path("data")
BUILT_IN = ("digits", "cifar10", "folder")
HUB = "hfds/"
PREFIXES = ("torch/", HUB)
STREAMS = ("tfds/", "wds/", "hfids/")


def open_dataset(
    config: Data,
    split: str,
    classes: list[str] | None = None,
    *,
    download: bool = True,
    say: Say = silent,
) -> Images | CachedImages:
    """The images of one split: (RGB PIL image, label) pairs with `.classes`.

    The splits: "train" and "test" as the data set has them, but for the training images that
    `data.holdout` sets aside: those are "holdout". They are decoded here where `data.cache` is true.
    `classes`, where given, are the names that a trained model knows, in the order of its logits.
    `download`: what is not there may be fetched; False where a run or an ONNX file names the data set, which
    must not decide that. `say` is told what was found in folders, and what was passed over and why.
    Where `data.labels` is false, all labels are 0 and there are no classes.
    Raises Unlabelled for a folder without classes, DataError for a data set that is missing, unreadable or
    of other classes, and for a holdout that leaves less than a batch.
    """
    if split == "test":
        images = _whole(config, "test", classes, download, say)
    else:
        part = {"train": trained_on, "holdout": set_aside}[split]
        images = part(
            _whole(config, "train", None, download, say), config
        )  # numbered alike for both parts
    if classes is not None and images.classes != classes and config.labels is not False:
        raise other_classes(f'data set "{config.name}"', images.classes, classes)
    return cache(images) if config.cache is True and isinstance(images, Images) else images


def _whole(
    config: Data, split: str, classes: list[str] | None, download: bool, say: Say
) -> Images | CachedImages:
    """All images of one of the data set's own splits."""
    if config.name == "digits":
        return digits(split)
    if config.name == "cifar10":
        return _cifar10(config, split, classes, download, say)
    if config.name == "folder":
        if config.dir is None:
            raise DataError('data set "folder" needs a folder', "name it: --data-dir DIR")
        if config.labels is False:
            return open_unlabelled(Path(config.dir), split, say)
        return open_files(Path(config.dir), split, classes, say)
    return _from_timm(config.name, config.dir, split, download)


def _cifar10(
    config: Data, split: str, classes: list[str] | None, download: bool, say: Say
) -> Images:
    """CIFAR-10 from tars or class folders, else as torchvision downloads it."""
    root = Path(config.dir) if config.dir else DOWNLOADS / "cifar10"
    if find_split(root, split) or (config.dir and not root.is_dir()):
        return open_files(root, split, classes, say)
    return _from_timm("torch/cifar10", str(root), split, download)


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
    for split_name in SPLITS[split]:
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
