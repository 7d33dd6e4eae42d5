"""Warnings and log lines of libraries are not meant for the person who types a command."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any

TRACEBACK = "BINARIZE_TRACEBACK"
"""Set to 1, it shows the traceback of an error, and what libraries warn of and log."""

FOR_CHILDREN = {"PYTHONWARNINGS": "ignore", "TORCH_CPP_LOG_LEVEL": "ERROR"}
"""For processes that a command starts; torch, too, reads its variable when it is imported."""


def wants_everything() -> bool:
    return os.environ.get(TRACEBACK) == "1"


@contextlib.contextmanager
def libraries_are_quiet() -> Iterator[None]:
    """In this block libraries warn and log without being seen, unless BINARIZE_TRACEBACK is 1.

    Filters stay as they are: where warnings are errors, they remain errors.
    """
    if wants_everything():
        yield
        return
    show, disabled = warnings.showwarning, logging.root.manager.disable
    added = [name for name in FOR_CHILDREN if name not in os.environ]
    os.environ.update((name, FOR_CHILDREN[name]) for name in added)
    warnings.showwarning = _ignore
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        warnings.showwarning = show
        logging.disable(disabled)
        for name in added:
            os.environ.pop(name, None)


def _ignore(*args: Any, **kwargs: Any) -> None:
    """In place of `warnings.showwarning`."""
