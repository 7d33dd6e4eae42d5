"""Folder trees as they are found in the world: what is a class, what is passed over, and that it is said."""

from __future__ import annotations

import os
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from image_folders import CLASSES, write_images
from PIL import Image
from timm.data.readers import create_reader

from binarize.data import open_dataset, sample_images
from binarize.data.files import open_files
from binarize.data.listing import natural
from binarize.errors import DataError
from binarize.recipe import Data
from binarize.run import Preprocess


@pytest.fixture
def train(tmp_path: Path) -> Path:
    """Three classes of four images."""
    return write_images(tmp_path / "train")


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)
    return path


def read(root: Path) -> tuple[list[str], list[int], str]:
    """Names of the classes, labels of the images, and what is said."""
    said: list[str] = []
    images = open_dataset(Data(name="folder", dir=str(root)), "train", say=said.append)
    *_, sentence = said
    return images.classes, images.labels.tolist(), sentence


def packed(folder: Path) -> Path:
    """The same as a tar, hidden entries, links and all; its root."""
    root = folder.parent / "packed"
    root.mkdir()
    with tarfile.open(root / "train.tar", "w") as tar:
        tar.add(folder, ".")
    return root


UNTOUCHED = (list(CLASSES), [0] * 4 + [1] * 4 + [2] * 4)


def test_what_was_read_is_said(train: Path) -> None:
    assert read(train.parent)[2] == f'"{train}": 12 images of 3 classes'


@pytest.mark.parametrize(
    "entry",
    [
        ".ipynb_checkpoints/0-checkpoint.png",
        ".hidden.png",
        "cat/._0.png",
        "cat/.cache/0.png",
        "__MACOSX/cat/0.png",
        "dog/@eaDir/0.png",
        "stray.png",
    ],
)
def test_what_is_none_of_the_data_moves_no_label(train: Path, entry: str) -> None:
    put(train / entry)
    for root in (train.parent, packed(train)):
        classes, labels, said = read(root)
        assert (classes, labels) == UNTOUCHED
        assert entry.split("/")[0] in said


def test_a_folder_without_an_image_is_no_class(train: Path) -> None:
    (train / "aardvark").mkdir()
    (train / "bat").mkdir()
    (train / "bat" / "notes.txt").write_text("none yet")
    for root in (train.parent, packed(train)):
        classes, labels, said = read(root)
        assert (classes, labels) == UNTOUCHED
        assert "aardvark, bat" in said
        assert "bat/notes.txt" in said


@pytest.mark.parametrize("extension", ["webp", "bmp", "gif", "tif", "avif", "ppm", "JPG"])
def test_every_kind_of_file_that_pillow_reads(train: Path, extension: str) -> None:
    put(train / "emu" / f"9.{extension}")
    for root in (train.parent, packed(train)):
        images = open_files(root, "train")
        assert images.labels.tolist() == [*UNTOUCHED[1], 2]
        assert images[12][0].size == (8, 8)


def test_many_of_a_kind_are_counted(train: Path) -> None:
    for number in range(8):
        (train / "cat" / f"{number}.txt").touch()
    assert "0.txt, cat/1.txt, cat/2.txt and 5 more" in read(train.parent)[2]


@pytest.fixture
def endless(train: Path) -> Iterator[Path]:
    """What hangs a reader, or leads it in circles."""
    os.mkfifo(train / "cat" / "fifo.png")
    (train / "cat" / "zero.png").symlink_to("/dev/zero")
    (train / "dog" / "nothing.png").symlink_to("nowhere.png")
    (train / "dog" / "itself.png").symlink_to("itself.png")
    for place, target in (("cat/up", ".."), ("emu/top", "/"), ("again", "dog")):
        (train / place).symlink_to(target, target_is_directory=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(train / "emu" / "socket.png"))
        yield train


def test_what_is_no_file_and_what_leads_in_circles(endless: Path) -> None:
    classes, labels, said = read(endless.parent)
    assert (classes, labels) == UNTOUCHED
    for name in ("fifo.png", "zero.png", "socket.png", "itself.png", "nothing.png", "cat/up"):
        assert name in said
    assert "emu/top" in said
    assert "again" in said


def test_links_to_images_and_to_folders_elsewhere_are_read(train: Path, tmp_path: Path) -> None:
    (tmp_path / "fox").mkdir()
    put(tmp_path / "fox" / "0.png")
    (train / "fox").symlink_to(tmp_path / "fox", target_is_directory=True)
    (train / "fox" / "1.png").symlink_to(train / "cat" / "0.png")
    classes, labels, _ = read(tmp_path)
    assert classes == [*CLASSES, "fox"]
    assert labels == [*UNTOUCHED[1], 3, 3]


def test_a_pipe_is_no_data_set(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train.tar")
    with pytest.raises(DataError, match=r"train.tar"):
        open_files(tmp_path, "train")


def test_groups_of_classes_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("animals/cat", "animals/dog", "things/car", "things/cup"):
        put(tmp_path / "train" / name / "0.png")
    for root in (tmp_path, packed(tmp_path / "train")):
        with pytest.raises(DataError, match='"animals/cat" and "animals/dog"'):
            open_files(root, "train")


def test_images_of_a_class_beside_a_folder_of_images(train: Path) -> None:
    put(train / "cat" / "small" / "0.png")
    with pytest.raises(DataError, match='"cat" and "cat/small"'):
        open_files(train.parent, "train")


def test_a_class_may_keep_its_images_in_a_folder(tmp_path: Path) -> None:
    for name in ("a/images", "b/images", "c/images"):  # as in tiny-imagenet
        put(tmp_path / "train" / name / "0.png")
    assert read(tmp_path)[:2] == (["a", "b", "c"], [0, 1, 2])


def test_the_only_folder_of_all_is_no_class(tmp_path: Path) -> None:
    write_images(tmp_path / "train" / "pictures")
    for root in (tmp_path, packed(tmp_path / "train")):
        assert read(root)[:2] == UNTOUCHED


def test_images_without_folders_are_no_classes(tmp_path: Path) -> None:
    put(tmp_path / "train" / "0.png")
    with pytest.raises(DataError, match="at least two classes"):
        open_files(tmp_path, "train")


def test_classes_that_differ_in_their_capitals_alone(tmp_path: Path) -> None:
    for name in ("cat", "Cat", "1", "01", "²"):
        put(tmp_path / "train" / name / "0.png")
    assert read(tmp_path)[0] == ["01", "1", "Cat", "cat", "²"]


def test_images_are_numbered_as_by_the_reader_of_timm(tmp_path: Path) -> None:
    """Which binarize 0.1 used: its runs continue on the same images in the same order."""
    for name in ("n10", "n9", "B", "a", "a b"):
        for file in ("10.png", "9.png", "a.jpg", "B.jpeg", "img_002.png", "img_1.png"):
            put(tmp_path / "train" / name / file)
    for path in (tmp_path / "train", packed(tmp_path / "train") / "train.tar"):
        reader = create_reader("", root=str(path))
        images = open_files(path.parent, "train").images
        found = [images.files[index].path for index in range(len(images))]
        expected = [reader.filename(index) for index in range(len(reader))]
        assert found == [name.removeprefix("./") for name in expected]
        targets = getattr(reader, "targets", None)  # of a tar
        labels = [label for _, label in reader.samples] if targets is None else targets.tolist()
        assert images.labels == labels


def test_numbers_are_sorted_by_their_value(tmp_path: Path) -> None:
    for name in ("10", "9", "img2", "img10"):
        put(tmp_path / "train" / name / "0.png")
    assert read(tmp_path)[0] == ["9", "10", "img2", "img10"]
    assert natural("9" * 5000) != natural("9" * 5001)  # longer than int() reads


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    write_images(tmp_path / "train")
    name = os.fsdecode(b"\xff")
    try:
        put(tmp_path / "train" / name / "0.png")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    with pytest.raises(DataError, match="UTF-8"):
        open_files(tmp_path, "train")


def test_calibration_takes_images_wherever_they_lie(endless: Path) -> None:
    preprocess = Preprocess(
        img_size=8, mean=[0.5] * 3, std=[0.5] * 3, interpolation="bilinear", crop_pct=1.0
    )
    put(endless / "0.webp")
    put(endless / "cat" / "small" / "0.bmp")
    put(endless / ".ipynb_checkpoints" / "0.png")
    said: list[str] = []
    images = sample_images(endless, 100, preprocess, said.append)
    assert len(images) == 14
    assert np.asarray(images[0][0]).shape == (3, 8, 8)
    assert ".ipynb_checkpoints" in said[0]
