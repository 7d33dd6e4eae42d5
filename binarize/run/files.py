"""Files and directories that appear whole or not at all: written beside, then renamed.

A process that is killed leaves at most what it wrote beside, which whoever writes the same name next removes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from binarize.outputs import check_directory
from binarize.run.leftovers import locked_directory, locked_file, remove_leftovers


def write_text(path: Path, text: str) -> None:
    """Write beside, then rename: `path` holds the old text or the new one, never half of one."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1) + "\n")


MOST_BYTES = 1 << 26
"""Of a record or a table: those of 100,000 epochs have some 20 MiB."""


def read_file(path: Path, most: int = -1) -> bytes:
    """The content of a file, or its first `most` bytes.

    Raises OSError, also for a pipe or a device, which might never end, and for a whole file that is larger
    than a record or a table can be.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, "not an ordinary file", str(path))
    if most < 0 and about.st_size > MOST_BYTES:
        raise OSError(errno.EOVERFLOW, "too large", str(path))
    with path.open("rb") as file:
        return file.read(most)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when the block ends well, else vanishes."""
    with locked_file(path) as temporary:
        yield temporary
        _sync(temporary)
        temporary.chmod(0o666 & ~_umask())  # mkstemp's 0600 is meant for secrets
        temporary.replace(path)


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

    The name is taken when the directory appears, so that two commands at once get a name each. `root` is a
    directory of runs alone: leftovers of whatever name are removed from it.
    """
    remove_leftovers(root)
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
    with locked_directory(path) as temporary:
        temporary.chmod(0o777 & ~_umask())
        yield temporary


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
