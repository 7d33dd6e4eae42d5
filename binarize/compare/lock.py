"""One process per cell: a lock file that the system gives back when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether this process is the only one in the block. The file holds its process id, for people.

    The lock is the system's own (flock): nobody has to find out whether the process that is named in
    a file left behind still lives, or whether its number was given to another one.
    """
    handle = _locked(path)
    if handle is None:
        yield False
        return
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        yield True
    finally:
        path.unlink(missing_ok=True)  # before it is given back: see _locked
        os.close(handle)


def _locked(path: Path) -> int | None:
    """A handle of the locked file; None where another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        if _still_there(handle, path):
            return handle
        os.close(handle)  # its holder removed the file between our open and our lock: once more


def _still_there(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
