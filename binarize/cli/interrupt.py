"""Ctrl-C. An import that is torn apart can leave a library broken, so Ctrl-C waits until it has ended.

It then counts at the next move of a progress bar; pressed twice, it does not wait. Some libraries turn it
into an error of their own, or catch it and continue: `pressed` remembers that it came.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

pressed = threading.Event()


def check() -> None:
    """Raises KeyboardInterrupt where Ctrl-C was pressed and the command still runs."""
    if pressed.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def waits_for_imports() -> Iterator[None]:
    """In this block Ctrl-C waits for the end of an import, unless somebody else handles it already."""
    pressed.clear()
    takes_over = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if takes_over:
        signal.signal(signal.SIGINT, _remember)
    try:
        yield
    finally:
        if takes_over:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _remember(number: int, frame: FrameType | None) -> None:
    again = pressed.is_set()
    pressed.set()
    if again or not _importing(frame):
        raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None
