"""Bytes of an image file to RGB pixels, by one rule for every kind of image.

An image is shown as a viewer shows it, in 8 bits a channel:

frames              the first one of an animation or of several pages
orientation         as EXIF says
grey                the same value in all three channels
16-bit grey         the upper 8 bits, as of 16-bit colours: 65535 is white
palette             its colours
transparency        over white
CMYK, YCbCr         Pillow's plain formulas; colour profiles are not applied

Floats and 32-bit integers have no white that is known, and are refused; so are LAB, images of more than
Pillow's limit of pixels (`2 * PIL.Image.MAX_IMAGE_PIXELS`), and those that are over 256 times as long as
wide, which resizing would blow up.

Only the formats in `FORMATS` are tried, whatever a file is called: Pillow's others are rarely images, and
some start other programs.
"""

from __future__ import annotations

import functools
import io
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from binarize.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "AVIF", "PPM", "JPEG2000")
EXTENSIONS = (
    *(
        ".png",
        ".apng",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".webp",
        ".bmp",
        ".dib",
        ".gif",
        ".tif",
        ".tiff",
    ),
    *(".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k"),
)
LONGEST = 256  # times the shorter side

_WHITE_IS_16_BIT = ("PNG", "PPM")  # Pillow opens 16-bit grey of these as 32-bit integers
_ORIENTATION = 0x0112  # the tag's number in EXIF
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)
_EXIF_IN_HEAD = ("JPEG", "MPO", "WEBP", "TIFF")
_PLAIN = (
    "1",
    "L",
    "LA",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "CMYK",
    "YCbCr",
    "I;16",
    "I;16B",
    "I;16L",
)
"""Modes that the rules take whatever the values of their pixels."""
_ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
_TAIL = 64
"""Bytes at the end of a file that are searched for how it should end."""


class UnreadableImage(DataError):
    """An image that cannot be decoded.

    Out of a worker process torch raises it once more, with the whole traceback for a message; the end
    of that is what was said first.
    """

    def __init__(self, message: str) -> None:
        said = message.rpartition(f"{type(self).__name__}: ")[2].strip()
        super().__init__(said, "replace it or take it away; --on-error skip leaves such images out")


def decode(file: IO[bytes]) -> Image.Image:
    """The RGB image in a file. Raises ValueError, which says in a few words why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata, and of sizes that are within the limit
            return to_rgb(Image.open(file, formats=_formats()))
    except Exception as error:  # a decoder raises anything when it is given a damaged file
        raise ValueError(why(error)) from error


def decode_file(path: str | Path) -> Image.Image:
    """The RGB image in the file at `path`. Raises OSError, and ValueError as `decode` does."""
    with Path(path).open("rb") as file:
        return decode(file)


def probe(file: IO[bytes], whole: bool = False) -> tuple[int, int]:
    """Height and width of the image in a file, upright.

    Only its header is read, unless the end is not that of its format, or its pixels may be of a kind that the
    rules refuse: then it is decoded, as it is where `whole`. Raises ValueError as `decode` does.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(file, formats=_formats())
            _check_shape(image)
            kind = image.format or ""
            turned = kind in _EXIF_IN_HEAD and _orientation(image) in _ON_ITS_SIDE
            width, height = image.size
            if whole or image.mode not in _PLAIN or not _ends(file, kind):
                image.draft(image.mode, (1, 1))  # of a JPEG, all is read and an eighth computed
                to_rgb(image)
    except Exception as error:
        raise ValueError(why(error)) from error
    return (width, height) if turned else (height, width)


def _ends(file: IO[bytes], kind: str) -> bool:
    """Whether a file ends as files of its format do; False where that says nothing."""
    if kind not in _ENDS:
        return False
    before = file.tell()
    file.seek(-min(_TAIL, file.seek(0, io.SEEK_END)), io.SEEK_END)
    tail = file.read(_TAIL)
    file.seek(before)
    return _ENDS[kind] in tail


def to_rgb(image: Image.Image) -> Image.Image:
    """`image` in mode RGB by the rules above, without metadata; an image that came from here stays as it is.

    Raises ValueError where the rules refuse it, and what Pillow raises where it cannot be decoded.
    """
    _check_shape(image)
    image.load()
    if image.mode == "RGB" and not image.info:
        return image
    orientation = _orientation(image)
    if image.mode[0] in "IF":
        image = _eight_bits(image)
    elif image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = _over_white(image)
    image = image.convert("RGB")
    image.info = {}
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _check_shape(image: Image.Image) -> None:
    if max(image.size) > LONGEST * min(image.size):
        width, height = image.size
        raise ValueError(f"{width} x {height} pixels is too long for its width")


def why(error: Exception) -> str:
    """In a few words and one line, why an image cannot be read."""
    if isinstance(error, UnidentifiedImageError):
        return f"it is damaged, or none of {', '.join(_formats())}"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    told = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
    words = " ".join(told.partition(", could be decompression bomb")[0].split())
    return words[:200] or type(error).__name__


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow knows."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # the metadata is damaged; the pixels need not be
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey in 16 bits as mode L."""
    grey = np.asarray(image)
    is_16_bit = image.mode.startswith("I;16") or image.format in _WHITE_IS_16_BIT
    if not is_16_bit or image.mode == "F" or grey.min() < 0 or grey.max() > 0xFFFF:
        kind = "floats" if image.mode == "F" else "32-bit integers"
        raise ValueError(f"its pixels are {kind}, of which it is not known what white is")
    return Image.fromarray((grey >> 8).astype(np.uint8))


def _over_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
