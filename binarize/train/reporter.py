"""What training tells the outside. The engine never prints: it calls these."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Reporter:
    """Takes the news and does nothing with it; a command line draws its progress bar from a subclass.

    The methods are called in this order: `run`, then per phase `phase`, then per epoch `epoch`,
    `step` (about four times a second) and `epoch_done`. `say` may come at any time.
    """

    def run(self, path: Path) -> None:
        """The run's directory exists from now on: the training can be resumed."""

    def say(self, text: str) -> None:
        """One sentence that the person at the keyboard should read."""

    def warn(self, text: str, hint: str = "") -> None:
        """Something that will probably not give what is wanted."""
        self.say(f"{text}; {hint}" if hint else text)

    def phase(self, name: str, epochs: int, done: int) -> None:
        """A model starts training, or goes on after `done` epochs; `name` is "float twin" or "binarized"."""

    def epoch(self, number: int, steps: int) -> None:
        """Epoch `number` (from 1) starts, of `steps` optimiser steps."""

    def step(self, done: int, loss: float) -> None:
        """`done` steps of the epoch are over; `loss` is their mean."""

    def epoch_done(self, row: dict[str, Any]) -> None:
        """The epoch is over and its line is in metrics.csv."""
