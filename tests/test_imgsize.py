"""Sizes of images, square and not."""

from __future__ import annotations

from typing import Any

import pytest

from binarize.errors import BinarizeError
from binarize.imgsize import height_width, img_size_of, img_size_text, parse_img_size
from binarize.recipe import schema
from binarize.run import Preprocess

PREPROCESS = {"mean": [0.5], "std": [0.5], "interpolation": "bilinear", "crop_pct": 1.0}


@pytest.mark.parametrize(
    ("text", "size", "sides"),
    [
        ("224", 224, (224, 224)),
        ("192x320", (192, 320), (192, 320)),
        (" 192 X 320 ", (192, 320), (192, 320)),
        ("64x64", 64, (64, 64)),
        ("4096×1", (4096, 1), (4096, 1)),
    ],
)
def test_text_is_read_height_first(text: str, size: Any, sides: tuple[int, int]) -> None:
    assert parse_img_size(text) == size
    assert height_width(size) == sides
    assert img_size_of(list(sides)) == parse_img_size(img_size_text(size)) == size


@pytest.mark.parametrize(
    "text", ["", "x", "12x", "x12", "1x2x3", "-3", "12.5", "12px", "0", "4097", "8x4097", "²x3"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BinarizeError, match="is not the size of an image") as caught:
        parse_img_size(text)
    assert "192x320" in (caught.value.hint or "")


@pytest.mark.parametrize("size", [True, 1.5, None, [], [1, 2, 3], [1, "2"], [0, 5], "224"])
def test_only_whole_numbers_are_sizes(size: Any) -> None:
    with pytest.raises(ValueError, match="should be"):
        img_size_of(size)


@pytest.mark.parametrize(("given", "kept"), [(48, 48), ([48, 48], 48), ([48, 80], [48, 80])])
def test_a_record_keeps_a_square_as_one_number(given: Any, kept: Any) -> None:
    record = Preprocess.from_data({**PREPROCESS, "img_size": given})
    assert record.to_json()["img_size"] == kept
    assert Preprocess.from_data(record.to_json()) == record
    assert record.sides == ((48, 80) if isinstance(kept, list) else (48, 48))
    assert record.replace(crop_pct=0.5).img_size == record.img_size


@pytest.mark.parametrize("given", ["48x80", [48, 80]])
def test_a_recipe_says_height_x_width(given: Any) -> None:
    assert schema.Data(name="folder", img_size=given).img_size == (48, 80)
