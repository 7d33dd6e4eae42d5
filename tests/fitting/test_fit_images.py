"""Images to fit on: of folders, tars and the caller's loaders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from binarize.errors import DataError
from binarize.fitting import images as reading
from binarize.fitting import read_images
from binarize.fitting.images import batches, split
from binarize.run import Preprocess

SIZE = (3, 4, 4)
PREPROCESS = Preprocess(
    img_size=4, mean=[0.5] * 3, std=[0.25] * 3, interpolation="bilinear", crop_pct=1.0
)


def read(data, count=10):
    said = []
    return read_images(data, count, PREPROCESS, SIZE, said.append)


@pytest.fixture
def folder(tmp_path):
    """Twelve grey images, 0 to 11 times 20."""
    for number in range(12):
        pixels = np.full((4, 4, 3), 20 * number, np.uint8)
        place = tmp_path / "ab"[number % 2]
        place.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:02d}.png")
    return tmp_path


def grey(image):
    return round((image.mean().item() * 0.25 + 0.5) * 255)


def test_a_folder_without_looking_at_its_classes(folder):
    found = read(folder)
    assert (len(found.fitted), len(found.held_aside)) == (10, 2)
    both = [*map(found.fitted.__getitem__, range(10)), *map(found.held_aside.__getitem__, range(2))]
    assert sorted(map(grey, both)) == [20 * number for number in range(12)]
    assert found.source == str(folder)


def test_where_there_are_few_an_eighth_is_held_aside(folder):
    found = read(folder, 100)
    assert (len(found.fitted), len(found.held_aside)) == (11, 1)
    found = split(range(4), 4, "four")
    assert (len(found.fitted), len(found.held_aside)) == (4, 0)


def test_where_there_are_many_256_are_held_aside():
    found = split(range(1256), 1000, "many")
    assert (len(found.fitted), len(found.held_aside)) == (1000, 256)


def test_each_image_is_decoded_once_where_memory_allows(folder, monkeypatch):
    for largest, same in ((1 << 30, True), (0, False)):
        monkeypatch.setattr(reading, "LARGEST", largest)
        found = read(folder)
        assert (found.fitted[0] is found.fitted[0]) == same
        assert torch.equal(found.fitted[0], found.fitted[0])


@pytest.mark.parametrize("wrapped", [lambda x: x, lambda x: (x, "labels"), lambda x: [x, 3]])
def test_batches_of_the_callers_own(wrapped):
    def loader():
        for number in range(1000):
            assert number < 70, "it reads on when it has enough"
            yield wrapped(torch.full((4, *SIZE), float(number)))

    found = read(loader(), 16)
    assert (len(found.fitted), len(found.held_aside)) == (16, 256)
    assert found.source == "the images given"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            [torch.zeros(2, 3, 5, 5)],
            "takes images of 3x4x4, and those of the images given have 3x5x5",
        ),
        ([torch.zeros(2, 3, 4, 4, dtype=torch.uint8)], r"torch.uint8 \[2, 3, 4, 4\]"),
        (["cat.png"], "yields str"),
        ([{"image": torch.zeros(2, *SIZE)}], "yields dict"),
        ([], "no images"),
    ],
)
def test_what_is_no_batch_of_such_images_is_refused(data, words):
    with pytest.raises(DataError, match=words) as caught:
        read(data)
    assert caught.value.hint


def test_batches_have_the_numbers_of_their_images():
    numbered = torch.arange(5.0)[:, None, None, None].expand(5, *SIZE).unbind()
    found = list(batches(numbered, 2, [4, 0, 3]))
    assert [numbers.tolist() for numbers, _ in found] == [[4, 0], [3]]
    assert [images[:, 0, 0, 0].tolist() for _, images in found] == [[4, 0], [3]]
    assert [len(images) for _, images in batches(numbered, 2)] == [2, 2, 1]
