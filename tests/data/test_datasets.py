"""Names of data sets, and those that come from elsewhere."""

from __future__ import annotations

import importlib.util
import urllib.error
from pathlib import Path

import numpy as np
import pytest
from image_folders import write_images
from PIL import Image

from binarize.data import datasets, open_dataset
from binarize.errors import DataError
from binarize.recipe import Data


@pytest.mark.parametrize(
    ("name", "hint"),
    [("digit", '"digits"'), ("cifar-10", '"cifar10"'), ("xyzzy", "torch/…"), ("timm/x", "torch/…")],
)
def test_unknown_name(name: str, hint: str) -> None:
    with pytest.raises(DataError, match="there is no data set") as caught:
        open_dataset(Data(name=name), "train")
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["tfds/mnist", "wds/x", "hfids/x"])
def test_streams_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="is a stream"):
        open_dataset(Data(name=name), "train")


def test_folder_needs_a_folder() -> None:
    with pytest.raises(DataError) as caught:
        open_dataset(Data(name="folder"), "train")
    assert "--data-dir" in caught.value.hint


class _NoNetwork:
    def __init__(self, root: str, **options: object) -> None:
        Path(root).mkdir(parents=True)
        (Path(root) / "half").touch()
        raise urllib.error.URLError("no network")


class _Small:
    """Stands for torchvision's CIFAR10: grey images, to see that they come out as RGB."""

    classes = ("cat", "dog")

    def __init__(self, root: str, train: bool, download: bool) -> None:
        print("Files already downloaded and verified")
        self.images = 6 if train else 4

    def __len__(self) -> int:
        return self.images

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(np.full((8, 8), index, np.uint8)), index % 2


def test_a_failed_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(
        datasets.create_dataset.__globals__["_TORCH_BASIC_DS"], "cifar10", _NoNetwork
    )
    with pytest.raises(DataError, match="no network") as caught:
        open_dataset(Data(name="cifar10"), "train")
    assert "--data-dir" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cache", [False, True])
def test_torchvision_data(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cache: bool,
) -> None:
    monkeypatch.setitem(datasets.create_dataset.__globals__["_TORCH_BASIC_DS"], "mnist", _Small)
    config = Data(name="torch/mnist", dir=str(tmp_path), cache=cache)
    train, test = open_dataset(config, "train"), open_dataset(config, "test")
    assert (len(train), len(test)) == (6, 4)
    assert train.classes == ["cat", "dog"]
    image, label = train[5]
    assert (image.mode, image.getpixel((0, 0)), label) == ("RGB", (5, 5, 5), 1)
    assert capsys.readouterr().out == ""  # stdout is for data


def test_images_of_a_library_become_rgb_by_the_same_rules(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "train" / name / "0.png")
    images = open_dataset(Data(name="torch/image_folder", dir=str(tmp_path / "train")), "train")
    assert images.classes == ["cat", "dog"]
    assert images[1][0].getpixel((0, 0)) == (255, 255, 255)


def test_cifar10_takes_class_folders_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "test")
    assert len(open_dataset(Data(name="cifar10", dir=str(tmp_path)), "test")) == 12
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "data" / "cifar10" / "test", each=1)
    assert len(open_dataset(Data(name="cifar10"), "test")) == 3


def test_unknown_torchvision_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Unknown torchvision dataset"):
        open_dataset(Data(name="torch/nothing", dir=str(tmp_path)), "train")


@pytest.mark.skipif(importlib.util.find_spec("datasets") is not None, reason="datasets is there")
def test_hugging_face_data_needs_its_package(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='needs the package "datasets"'):
        open_dataset(Data(name="hfds/x", dir=str(tmp_path)), "train")
