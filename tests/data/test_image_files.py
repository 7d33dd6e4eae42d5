"""Folders and tars of images: what is found, how it is numbered, and what is wrong with it."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from image_folders import CLASSES, to_tar, write_images
from PIL import Image

from binarize import data
from binarize.data import CachedImages, Images, open_dataset
from binarize.errors import DataError
from binarize.recipe import Data
from binarize.run import Preprocess

PREPROCESS = Preprocess(
    img_size=16,
    mean=[0.5, 0.5, 0.5],
    std=[0.5, 0.5, 0.5],
    interpolation="bilinear",
    crop_pct=1.0,
)


def folder(path: Path, **options: object) -> Data:
    return Data(name="folder", dir=str(path), **options)


@pytest.mark.parametrize("name", ["test", "val", "validation"])
def test_names_of_the_test_split(tmp_path: Path, name: str) -> None:
    write_images(tmp_path / name)
    images = open_dataset(folder(tmp_path), "test")
    assert len(images) == 12
    assert images.classes == list(CLASSES)


def test_a_folder_and_a_tar_are_the_same(tmp_path: Path) -> None:
    write_images(tmp_path / "a" / "train")
    to_tar(write_images(tmp_path / "b" / "train"))
    loose = open_dataset(folder(tmp_path / "a"), "train")
    packed = open_dataset(folder(tmp_path / "b"), "train")
    assert packed.classes == loose.classes
    for index in range(12):
        assert np.array_equal(np.asarray(loose[index][0]), np.asarray(packed[index][0]))
        assert loose[index][1] == packed[index][1] == index // 4


def test_a_tar_of_tars(tmp_path: Path) -> None:
    write_images(tmp_path / "loose" / "train")
    write_images(tmp_path / "train")
    for name in CLASSES:
        (tmp_path / "train" / name).rename(tmp_path / name)
        with tarfile.open(tmp_path / "train" / f"{name}.tar", "w") as inner:
            for file in sorted((tmp_path / name).iterdir()):
                inner.add(file, file.name)
    with tarfile.open(tmp_path / "train.tar", "w") as outer:
        for file in sorted((tmp_path / "train").iterdir()):
            outer.add(file, file.name)
    loose = open_dataset(folder(tmp_path / "loose"), "train")
    packed = open_dataset(folder(tmp_path), "train")
    assert packed.classes == list(CLASSES)
    assert {(loose[i][0].tobytes(), loose[i][1]) for i in range(12)} == {
        (packed[i][0].tobytes(), packed[i][1]) for i in range(12)
    }


def test_the_cache_holds_the_same_images(tmp_path: Path) -> None:
    write_images(tmp_path / "test")
    decoded = open_dataset(folder(tmp_path), "test")
    cached = open_dataset(folder(tmp_path, cache=True), "test")
    assert isinstance(cached, CachedImages)
    assert cached.pixels.shape == (12, 3, 16, 16)
    for index in range(12):
        assert np.array_equal(np.asarray(decoded[index][0]), np.asarray(cached[index][0]))
        assert decoded[index][1] == cached[index][1]


def test_the_cache_takes_images_of_several_sizes(tmp_path: Path) -> None:
    write_images(tmp_path / "test")
    Image.new("L", (20, 30), 128).save(tmp_path / "test" / "emu" / "grey.png")
    cached = open_dataset(folder(tmp_path, cache=True), "test")
    (tmp_path / "test" / "emu" / "grey.png").unlink()
    image, label = cached[12]
    assert isinstance(cached, Images)
    assert (image.size, image.mode, label) == ((20, 30), "RGB", 2)


def test_only_some(tmp_path: Path) -> None:
    write_images(tmp_path / "test")
    for cache in (False, True):
        images = open_dataset(folder(tmp_path, cache=cache), "test").only([1, 11])
        assert len(images) == 2
        assert [images[0][1], images[1][1]] == [0, 2]
        assert images.classes == list(CLASSES)


def test_labels_follow_the_classes_of_the_model(tmp_path: Path) -> None:
    write_images(tmp_path / "test", ("dog", "cat"))
    images = open_dataset(folder(tmp_path), "test", classes=["emu", "dog", "cat"])
    assert images.classes == ["emu", "dog", "cat"]
    assert [images[index][1] for index in range(8)] == [2] * 4 + [1] * 4


def test_classes_that_the_model_does_not_know(tmp_path: Path) -> None:
    write_images(tmp_path / "test")
    with pytest.raises(DataError, match='has 3 classes and the model knows 2: "emu"'):
        open_dataset(folder(tmp_path), "test", classes=["cat", "dog"])
    with pytest.raises(DataError, match='has 10 classes and the model knows 3: "0"'):
        open_dataset(Data(name="digits"), "test", classes=list(CLASSES))


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist") as caught:
        open_dataset(folder(tmp_path / "nowhere"), "train")
    assert "--data-dir" in caught.value.hint
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file, not a folder"):
        open_dataset(folder(tmp_path / "file"), "train")


def test_missing_split(tmp_path: Path) -> None:
    write_images(tmp_path / "train")
    with pytest.raises(DataError, match="holds no test images") as caught:
        open_dataset(folder(tmp_path), "test")
    assert "val/" in caught.value.hint


def test_no_images(tmp_path: Path) -> None:
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no images"):
        open_dataset(folder(tmp_path), "train")


def test_an_empty_tar(tmp_path: Path) -> None:
    tarfile.open(tmp_path / "train.tar", "w").close()
    with pytest.raises(DataError, match="holds no images"):
        open_dataset(folder(tmp_path), "train")


@pytest.mark.parametrize("classes", [("cat",), ("",)])
def test_too_few_classes(tmp_path: Path, classes: tuple[str, ...]) -> None:
    (tmp_path / "train").mkdir()
    for name in classes:
        (tmp_path / "train" / name).mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "train" / name / "0.png")
    with pytest.raises(DataError, match="at least two classes"):
        open_dataset(folder(tmp_path), "train")


def test_a_truncated_tar(tmp_path: Path) -> None:
    path = to_tar(write_images(tmp_path / "train"))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"train.tar"):
        open_dataset(folder(tmp_path, cache=True), "train")


@pytest.mark.parametrize("kind", ["gztar", "xztar", "bztar", "zip"])
def test_a_compressed_archive_is_to_be_unpacked(tmp_path: Path, kind: str) -> None:
    """Whatever it is called. In a folder of images it is no image, and it is said what to do."""
    images = write_images(tmp_path / "train")
    packed = Path(shutil.make_archive(str(tmp_path / "archive"), kind, tmp_path, "train"))
    shutil.copy(packed, tmp_path / "train.tar")
    for path in (packed, tmp_path / "train.tar"):
        with pytest.raises(DataError, match=r" is compressed \(\w+\)") as caught:
            open_dataset(folder(path), "train")
        assert "unpack it into a folder" in caught.value.hint
    packed.rename(images / "cat" / packed.name)
    said: list[str] = []
    open_dataset(folder(images, holdout=3, batch_size=9), "train", say=said.append)
    assert f"to be unpacked first: cat/{packed.name}" in said[0]


def test_something_else_called_tar(tmp_path: Path) -> None:
    (tmp_path / "train.tar").write_bytes(b"x" * 2000)
    with pytest.raises(DataError, match="cannot be read"):
        open_dataset(folder(tmp_path), "train")


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    write_images(tmp_path / "train")
    (tmp_path / "train" / "dog" / "2.png").write_bytes(b"\x89PNG and no more")
    with pytest.raises(DataError, match=r"2.png"):
        open_dataset(folder(tmp_path, cache=True), "train")


def test_a_vanished_image_is_named(tmp_path: Path) -> None:
    write_images(tmp_path / "train")
    images = open_dataset(folder(tmp_path), "train")
    (tmp_path / "train" / "cat" / "0.png").unlink()
    with pytest.raises(DataError, match=r"0.png"):
        images[0]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_worker_process_says_it_as_shortly(tmp_path: Path) -> None:
    write_images(tmp_path / "test")
    (tmp_path / "test" / "dog" / "2.png").write_bytes(b"no image")
    loader = data.test_loader(folder(tmp_path, workers=1), PREPROCESS)
    with pytest.raises(DataError) as caught:
        list(loader)
    start = f'image "dog/2.png" of "{tmp_path / "test"}" cannot be read: '
    assert caught.value.message.startswith(start)
    assert "\n" not in caught.value.message
    assert caught.value.hint
