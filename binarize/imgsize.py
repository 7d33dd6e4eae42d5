"""Sizes of images as people write them: 224 is a square, "192x320" is 192 pixels high and 320 wide."""

from __future__ import annotations

import re
from typing import Any

from binarize.errors import BinarizeError

ImgSize = int | tuple[int, int]
"""Pixels of a square's side, or height and width where they differ."""

LARGEST_SIZE = 4096
_SIZE = re.compile(r"(\d{1,9})(?:\s*[xX×]\s*(\d{1,9}))?", re.ASCII)


def img_size_of(size: Any) -> ImgSize:
    """The size that a number or a pair (height, width) means; a square is one number.

    Raises ValueError, in words that go on after a field's name.
    """
    sides = list(size) if isinstance(size, (list, tuple)) else [size]
    if len(sides) not in (1, 2) or any(type(side) is not int for side in sides):
        raise ValueError("should be a whole number, or height x width as in 192x320")
    if min(sides) < 1:
        raise ValueError("should be greater than or equal to 1")
    if max(sides) > LARGEST_SIZE:
        raise ValueError(f"should be less than or equal to {LARGEST_SIZE}")
    height, width = sides[0], sides[-1]
    return height if height == width else (height, width)


def written_img_size(size: Any) -> ImgSize:
    """`img_size_of` what somebody wrote, which may also be text: "192x320". Raises ValueError."""
    if isinstance(size, str) and (found := _SIZE.fullmatch(size.strip())):
        size = [int(side) for side in found.groups() if side]
    return img_size_of(size)


def parse_img_size(text: str) -> ImgSize:
    """The size that the text of an option means. Raises BinarizeError."""
    try:
        return written_img_size(text)
    except ValueError as error:
        raise BinarizeError(
            f'"{text}" is not the size of an image: it {error}',
            "write pixels: 224, or 192x320 for 192 high and 320 wide",
        ) from error


def height_width(size: ImgSize) -> tuple[int, int]:
    """Height and width in pixels."""
    return (size, size) if isinstance(size, int) else size


def img_size_text(size: ImgSize) -> str:
    """As it is written after `--img-size`: `224`, or `192x320`."""
    return str(size) if isinstance(size, int) else f"{size[0]}x{size[1]}"
