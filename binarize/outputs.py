"""May that be written? Asked before the work begins, so that minutes of it are not for nothing."""

from __future__ import annotations

import os
from pathlib import Path

from binarize.errors import BinarizeError, ExportError, RunError


def check_directory(path: str | Path) -> None:
    """Raises RunError where a new run cannot be made at `path`: it exists and is not empty, or may not be."""
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f'"{path}" exists already', "name another directory with -o")
    above = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not above.is_dir():
        raise RunError(f'"{above}" is not a directory', "name another directory with -o")
    _check_rights(above, RunError)


def check_resumable(path: str | Path) -> None:
    """`check_directory`, but a directory may be there: it is what an earlier process made, and is resumed."""
    if not Path(path).is_dir():
        check_directory(path)


def check_file(path: str | Path, error: type[BinarizeError] = BinarizeError) -> None:
    """Raises `error` where no file can be written at `path`: a directory is there, or none above it."""
    path = Path(path)
    if path.is_dir():
        raise error(f'"{path}" is a directory', "name a file in it, or another one")
    if not path.parent.is_dir():
        raise error(f'there is no directory "{path.parent}"', "make it, or name another file")
    _check_rights(path.parent, error)


def check_new_file(path: str | Path) -> None:
    """`check_file` for what must not take the place of anything."""
    if Path(path).is_file():
        raise BinarizeError(f'"{path}" exists already', "remove it, or name another file")
    check_file(path)


def check_onnx(path: str | Path) -> None:
    """`check_file`, with an ExportError."""
    check_file(path, ExportError)


def _check_rights(directory: Path, error: type[BinarizeError]) -> None:
    if not os.access(directory, os.W_OK | os.X_OK):
        raise error(f'"{directory}" is not writable', "check its rights, or name another place")
