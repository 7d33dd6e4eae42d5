"""The pictures that a prediction is asked for, each with a name, decoded when their turn comes."""

from __future__ import annotations

import contextlib
import functools
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from binarize.choices import OnError
from binarize.data.decode import decode, decode_file, to_rgb, why
from binarize.data.files import ImageFiles
from binarize.data.listing import check_packed
from binarize.errors import DataError
from binarize.progress import Progress

Source = str | Path | Image.Image | np.ndarray | IO[bytes]
STREAM = "-"
"""What a picture is called that came through a pipe."""


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        name: its path, or what was made up for one in memory.
        open: gives it in RGB. Raises UnreadableImage, or OSError or ValueError, which says why there is none.
    """

    name: str
    open: Callable[[], Image.Image]


def find_pictures(
    sources: Source | Sequence[Source], on_error: OnError, progress: Progress
) -> list[Picture]:
    """The pictures of those sources in their order: of a folder or tar all that are in it, however deep.

    An array [N, H, W, 3] is N pictures. `progress` is told what was passed over in a folder. Raises DataError
    for a path that does not exist, and for a folder without pictures or, unless they are skipped, with
    pictures that cannot be read.
    """
    found: list[Picture] = []
    for source in _several(sources):
        if isinstance(source, (str, Path)):
            found += _at(Path(source), on_error, progress)
        else:
            found.append(_in_memory(source, len(found)))
    return found


def _several(sources: Any) -> Iterable[Any]:
    one = isinstance(sources, (str, Path, Image.Image)) or hasattr(sources, "read")
    one = one or (isinstance(sources, np.ndarray) and sources.ndim < 4)
    return [sources] if one else sources


def _at(path: Path, on_error: OnError, progress: Progress) -> list[Picture]:
    if path.is_file() and on_error == "stop":
        with contextlib.suppress(OSError):  # why it cannot be read is said when its turn comes
            check_packed(path)
    if path.is_dir() or path.suffix.lower() == ".tar":
        return _inside(path, on_error, progress)
    if not path.exists():
        raise DataError(f'there is no image "{path}"', "name an image, a folder of images, or -")
    if not path.is_file():
        raise DataError(f'"{path}" is not an ordinary file', "- reads an image from a pipe")
    return [Picture(str(path), functools.partial(decode_file, path))]


def _inside(root: Path, on_error: OnError, progress: Progress) -> list[Picture]:
    try:
        files = ImageFiles(root, labelled=False)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise DataError(
            f'"{root}" cannot be read: {why(error)}', "name a folder of images"
        ) from error
    except DataError as error:
        raise DataError(error.message, "name an image, a folder of images, or -") from error
    files.check(on_error, progress, whole=False)  # the rest is found when their turn comes
    if files.skipped:
        progress.say(f'"{root}": skipped: {files.skipped}')
    return [
        Picture(str(root / file.path), functools.partial(_image_of, files, number))
        for number, file in enumerate(files.files)
    ]


def _image_of(files: ImageFiles, number: int) -> Image.Image:
    return files[number][0]


def _in_memory(source: Any, number: int) -> Picture:
    if hasattr(source, "read"):
        return Picture(STREAM, functools.partial(decode, source))
    if isinstance(source, np.ndarray):
        source = Image.fromarray(source)
    name = getattr(source, "filename", "") or f"image {number}"
    return Picture(str(name), functools.partial(to_rgb, source))
