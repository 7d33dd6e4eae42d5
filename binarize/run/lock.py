"""One process at a time: a lock file that the system gives back when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from binarize.run.files import read_file

UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether this process is the only one in the block. The file holds its process id, for people.

    The lock is the system's own (flock, or its like on Windows): nobody has to find out whether the process
    that is named in a file left behind still lives, or whether its number was given to another one. A
    process that this one forks does not hold it. Where nothing can be written no other process can be
    writing, and the answer is True.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        yield not path.exists()  # one that is there belongs to another user
        return
    try:
        with contextlib.suppress(PermissionError):  # Windows: nobody writes to a locked file
            path.write_text(f"{os.getpid()}\n")
        yield True
    finally:
        # Before it is given back, and filelock takes no lock on a file that has no name any more: so whoever
        # opened this file before it was removed does not hold it together with the maker of the next one.
        with contextlib.suppress(PermissionError):
            path.unlink(missing_ok=True)
        lock.release()


def remove_if_free(path: Path) -> None:
    """Remove the lock file that a killed process left behind; one that is held stays."""
    if path.exists():
        with held(path):
            pass


def holder(path: Path) -> str:
    """The process id in a lock file, as text; empty where it cannot be read."""
    try:
        return read_file(path).decode().strip()
    except (OSError, ValueError):
        return ""
