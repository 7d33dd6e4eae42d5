"""The progress of a command: a bar where stderr is a terminal, now and then a line elsewhere.

    float baseline: 2,400 of 24,000 (10 %), 12 min left, epoch 2/20, loss 1.372

Such lines go to stderr, also with `--json`. A command that ends within `FIRST` seconds writes none.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from binarize import interrupt
from binarize.cli import render
from binarize.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

FIRST = 10.0
"""Seconds before the first line."""
EVERY = 30.0
"""Seconds from line to line, at least."""


class View(Protocol):
    """Something that shows one task at a time."""

    def task(self, what: str, total: int | None, done: int) -> None: ...

    def update(self, done: int, note: str) -> None: ...


class Shown(Progress):
    """Shows tasks in a view, and says everything else.

    Attributes:
        path: of the run or comparison that can be resumed; None before there is one.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self.path: Path | None = None

    def task(self, what: str, total: int | None = None, done: int = 0) -> None:
        interrupt.check()
        self._view.task(what, total, done)

    def update(self, done: int, note: str = "") -> None:
        interrupt.check()
        self._view.update(done, note)

    def say(self, text: str) -> None:
        render.say(text)

    def warn(self, text: str, hint: str = "") -> None:
        render.warn(text, hint)

    def run(self, path: Path) -> None:
        self.path = path

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        render.say(epoch_line(row, epochs))


@contextlib.contextmanager
def working(what: str) -> Iterator[Shown]:
    """What a command hands to the library as `progress`; it begins with a task of unknown length."""
    console = render.terminal()
    if console is None:
        progress = Shown(Lines(render.line_on_stderr))
        progress.task(what)
        yield progress
        return
    from rich import progress as rich

    columns = (
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(),
        rich.TaskProgressColumn(),
        rich.TimeRemainingColumn(),
        rich.TextColumn("{task.fields[note]}", markup=False),
    )
    with rich.Progress(*columns, console=console, transient=True) as bars:
        progress = Shown(Bar(bars))
        progress.task(what)
        yield progress


class Bar:
    """One bar of Rich, which disappears when the command is done."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars

    def task(self, what: str, total: int | None, done: int) -> None:
        for number in self._bars.task_ids:
            self._bars.remove_task(number)
        self._bars.add_task(what, total=total, completed=done, note="")

    def update(self, done: int, note: str) -> None:
        self._bars.update(self._bars.task_ids[0], completed=done, note=note)


class Lines:
    """Plain lines: the first after `FIRST` seconds, then one in `EVERY` seconds at most.

    Args:
        write: is given every line.
        clock: seconds.
    """

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._due = clock() + FIRST

    def task(self, what: str, total: int | None, done: int) -> None:
        self._what, self._total = what, total
        self._began, self._done_before = self._clock(), done
        self.update(done, "")

    def update(self, done: int, note: str) -> None:
        now = self._clock()
        if now < self._due:
            return
        self._due = now + EVERY
        words = [*self._share(done, now - self._began), *([note] if note else [])]
        self._write(f"{self._what}: {', '.join(words)}" if words else f"{self._what} …")

    def _share(self, done: int, seconds: float) -> Iterator[str]:
        """How much of the task is done, and how long the rest takes at the rate of the task so far."""
        if not self._total:
            return
        yield f"{done:,} of {self._total:,} ({100 * done / self._total:.0f} %)"
        if done > self._done_before:
            left = seconds * (self._total - done) / (done - self._done_before)
            yield f"{duration(left)} left"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def epoch_line(row: Mapping[str, Any], epochs: int) -> str:
    """What is said of an epoch."""
    from binarize.run import tables as t  # which imports pydantic

    number = f"{row[t.EPOCH]:>{len(str(epochs))}}/{epochs}"
    scores = "  ".join(
        f"{images} loss {row[t.scored(images, t.LOSS)]:.4f}  {words} {top1:.2f} %"
        for images, words in ((t.VAL, "held-out top-1"), (t.TEST, "top-1"))
        if (top1 := row.get(t.scored(images, t.TOP1), "")) != ""
    )
    if (agreement := row.get(t.AGREEMENT, "")) != "":
        scores = f"same answer as the teacher {agreement:.2f} %"
    return (
        f"epoch {number}  loss {row[t.scored(t.TRAIN, t.LOSS)]:.4f}  {scores}  "
        f"{row[t.SECONDS]:.1f} s  {row[t.IMAGES_PER_S]:.0f} images/s"
    )
