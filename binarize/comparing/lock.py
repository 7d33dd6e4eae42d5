"""One process per trial: a lock file that the system gives back when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether this process is the only one in the block. The file holds its process id, for people.

    The lock is the system's own (flock, or its like on Windows): nobody has to find out whether the process
    that is named in a file left behind still lives, or whether its number was given to another one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
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
