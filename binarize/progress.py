"""What long work tells while it runs. The library never prints: it calls the methods of a `Progress`.

    class Print(Progress):
        def update(self, done: int, note: str = "") -> None:
            print(done, note)

    binarize.train("digits", "resnet18", progress=Print())

Everything that takes long takes the keyword `progress`. Under `accelerate launch` only the first process
calls the methods. They run between two steps of the work, so they should return at once; what they raise
ends the work as Ctrl-C does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Progress:
    """Does nothing; override the methods of interest. There is one task at a time."""

    def task(self, what: str, total: int | None = None, done: int = 0) -> None:
        """The task `what` begins, in place of the one before; `done` of its `total` parts are done already.

        A total of None is unknown, and such a task has no updates. The parts of a training are its
        optimiser steps, those of an evaluation its images.
        """

    def update(self, done: int, note: str = "") -> None:
        """`done` parts of the task are done, at most `total`; `note` says more, such as the loss."""

    def say(self, text: str) -> None:
        """One sentence for the user."""

    def warn(self, text: str, hint: str = "") -> None:
        """Something that will probably not give what is wanted, and what to do about it."""
        self.say(f"{text}; {hint}" if hint else text)

    def run(self, path: Path) -> None:
        """The directory of the run or comparison exists from now on: the work can be resumed."""

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        """One of the `epochs` of a training is done, and `row` is its line in metrics.csv."""
