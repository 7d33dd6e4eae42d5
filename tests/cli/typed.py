"""Commands as they are typed, run in this process."""

from __future__ import annotations

from pathlib import Path

from binarize.cli import app


def run(*arguments: str | Path) -> int:
    """The exit code of `binarize` with these arguments."""
    return app.main([str(argument) for argument in arguments])
