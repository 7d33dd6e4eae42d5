"""Ctrl-C, SIGTERM (a scheduler, `kill`) and SIGHUP (the terminal was closed) end what runs in one way.

An import that is torn apart can leave a library broken, so a signal waits until the import has ended. It then
counts at the next move of a progress bar; a second one does not wait. Some libraries turn it into an error of
their own, or catch it and continue, and Python drops what is raised in a `__del__` or while it forks:
`received` remembers that it came.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

WORDS = {
    "SIGINT": "interrupted",
    "SIGTERM": "terminated",
    "SIGHUP": "the terminal was closed",
}
"""What is said of each; Windows has no SIGHUP."""

_received: list[int] = []


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end; what handles Ctrl-C handles this."""


def received() -> int | None:
    """The signal that came first in the block of `handled`; None where none did."""
    return _received[0] if _received else None


def check() -> None:
    """Raises Stopped where a signal came and the command still runs."""
    if _received:
        raise Stopped


def outcome() -> tuple[str, int]:
    """(words, exit code) of a process that a signal ended; Ctrl-C, where none was seen."""
    number = received() or signal.SIGINT
    return WORDS[signal.Signals(number).name], 128 + number


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Here signals raise Stopped, but for those that somebody else handles, or that `nohup` ignores."""
    _received.clear()
    before = {}
    if threading.current_thread() is threading.main_thread():
        usual = signal.default_int_handler, signal.SIG_DFL
        numbers = [getattr(signal, name) for name in WORDS if hasattr(signal, name)]
        before = {n: now for n in numbers if (now := signal.getsignal(n)) in usual}
    for number in before:
        signal.signal(number, _receive)
    told = sys.unraisablehook
    sys.unraisablehook = lambda what: None if what.exc_type is Stopped else told(what)
    try:
        yield
    finally:
        sys.unraisablehook = told
        for number, handler in before.items():
            signal.signal(number, handler)


def _receive(number: int, frame: FrameType | None) -> None:
    again = bool(_received)
    _received.append(number)
    if again or not _importing(frame):
        raise Stopped


def _importing(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None
