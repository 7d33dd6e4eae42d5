"""Ctrl-C that a library swallowed while it was imported: it counts at the next move of a progress bar."""

from __future__ import annotations

import threading

pressed = threading.Event()


def check() -> None:
    """Raises KeyboardInterrupt where Ctrl-C was pressed and the command still runs."""
    if pressed.is_set():
        raise KeyboardInterrupt
