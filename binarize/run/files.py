"""Files and directories that appear whole or not at all: written beside, then renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from binarize.outputs import check_directory


def write_text(path: Path, text: str) -> None:
    """Write beside, then rename: `path` holds the old text or the new one, never half of one."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_file(path: Path, most: int = -1) -> bytes:
    """The content of a file, or its first `most` bytes.

    Raises OSError, also for a pipe or a device, which might never end.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not an ordinary file", str(path))
    with path.open("rb") as file:
        return file.read(most)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when the block ends well, else vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _sync(temporary)
        temporary.chmod(0o666 & ~_umask())  # mkstemp's 0600 is meant for secrets
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A temporary directory beside `path` that becomes `path` when the block ends well."""
    check_directory(path)
    with _temporary_directory(path) as temporary:
        yield temporary
        try:
            temporary.replace(path)
        except OSError:
            check_directory(path)  # another process took the name in the meantime
            raise


class NewRun:
    """A run under way: `directory` is where to write it, `path` where it is when the block has ended."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory


@contextlib.contextmanager
def new_run(name: str, root: Path) -> Iterator[NewRun]:
    """A directory that becomes `root/name`, or `root/name-2`, `root/name-3`, … where that is taken.

    The name is taken when the directory appears, so that two commands at once get a name each.
    """
    with _temporary_directory(root / name) as temporary:
        run = NewRun(temporary)
        yield run
        number = 1
        while True:
            path = root / (name if number == 1 else f"{name}-{number}")
            if not path.exists() and _takes(temporary, path):
                run.path = path
                return
            number += 1


def _takes(temporary: Path, path: Path) -> bool:
    """Rename to a name that was free a moment ago; whether it still was."""
    try:
        temporary.rename(path)
    except OSError:
        if path.exists():
            return False
        raise
    return True


@contextlib.contextmanager
def _temporary_directory(path: Path) -> Iterator[Path]:
    """A directory beside `path`, with the rights of an ordinary one; removed unless it was renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        temporary.chmod(0o777 & ~_umask())
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _sync(path: Path) -> None:
    """Have the file on disk before its rename is, so that a power cut leaves no empty file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
