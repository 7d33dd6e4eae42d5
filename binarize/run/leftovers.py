"""What a killed process left half written: `.NAME.xxxxxxxx.part` beside NAME, removed by the next one.

Whoever writes such a file or directory holds the system's lock (flock) on it, which a killed process loses.
So nobody has to guess from a process id or an age whether it is still being written. Where there are no
such locks, as on Windows and on some network drives, leftovers stay.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

SUFFIX = ".part"
RANDOM = "[a-z0-9_]{8}"
"""What `tempfile` makes names unique with."""


@contextlib.contextmanager
def locked_file(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, in whose place something may be put; removed unless it was renamed."""

    def make(prefix: str) -> str:
        handle, name = tempfile.mkstemp(SUFFIX, prefix, path.parent)
        os.close(handle)
        return name

    with _locked(path, make) as temporary:
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked_directory(path: Path) -> Iterator[Path]:
    """An empty directory beside `path`; removed unless it was renamed."""
    with _locked(path, lambda prefix: tempfile.mkdtemp(SUFFIX, prefix, path.parent)) as temporary:
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(directory: Path, name: str | None = None) -> None:
    """Remove what killed processes left in `directory`; with a `name`, only of the file of that name.

    What another process is writing stays, and so do names that binarize does not make.
    """
    pattern = re.compile(rf"\.{re.escape(name) if name else '.+'}\.{RANDOM}{re.escape(SUFFIX)}")
    found = directory.iterdir() if directory.is_dir() else ()
    for path in [path for path in found if pattern.fullmatch(path.name)]:
        # Some are held, removed in the meantime, or another user's.
        with contextlib.suppress(OSError), _lock(path):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


@contextlib.contextmanager
def _locked(path: Path, make: Callable[[str], str]) -> Iterator[Path]:
    """What `make` makes of the beginning of a name, locked; leftovers of `path` are removed before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    with contextlib.ExitStack() as stack:
        while True:
            temporary = Path(make(f".{path.name}."))
            try:
                stack.enter_context(_lock(temporary))
            except (BlockingIOError, FileNotFoundError):
                continue  # another process took it for a leftover, before the lock was there
            except OSError:
                pass  # no locks here, and so nobody removes it
            break
        yield temporary


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the lock on a file or directory.

    Raises BlockingIOError where another process holds it, FileNotFoundError where `path` is gone, another
    OSError where there are no locks.
    """
    try:
        import fcntl
    except ImportError as error:
        raise OSError("this system has no locks on files that are in use") from error
    # NFS locks what is open for writing, and so no directory.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(handle), os.lstat(path)):
            raise FileNotFoundError(path)
        yield
    finally:
        os.close(handle)
