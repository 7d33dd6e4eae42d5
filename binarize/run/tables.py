"""metrics.csv and indicators.csv of a run: their columns, and rows in and out.

metrics.csv has a line for each epoch:

epoch, stage, step      epochs and optimiser steps done, and the name or number of the stage
progress                what the estimators were given in the last step: 0 to 1 over the steps in which
                        weights are binary
lr, train_loss          of the last step; mean over the epoch
train_top1              in per cent, on the images as they were augmented; empty where they are mixed
val_loss, val_top1, val_top5
                        on the held-out images; empty where none are held out
test_loss, test_top1, test_top5
                        on the test images; where images are held out, after the last epoch alone
agreement               per cent of the scored images on which the model answers as its teacher, where
                        these have no labels: then all columns of top1, top5, val and test are empty
estimating_error, gradient_stability, flip_ratio, dead_weights
                        see `train.indicators`; layer by layer they are in indicators.csv
saturated               layers whose binary input is one value more than 95 % of the time, of a batch
                        of the images that are scored; empty where no input is binary
seconds, images_per_s   of the whole epoch; of its training alone

A file is replaced as a whole: it is short, and half a line can never be seen. What is damaged all the
same, by a disk or an editor, is passed over when it is read, and kept beside when the training continues.
"""

from __future__ import annotations

import csv
import io
import itertools
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binarize.run import layout
from binarize.run.files import read_file, replacing, write_text

Row = Mapping[str, str]

EPOCH, STAGE, STEP, PROGRESS, LR = "epoch", "stage", "step", "progress", "lr"
TRAIN, VAL, TEST = "train", "val", "test"
LOSS, TOP1, TOP5 = "loss", "top1", "top5"
AGREEMENT = "agreement"
SECONDS, IMAGES_PER_S = "seconds", "images_per_s"
LAYER, SATURATION, SATURATED = "layer", "saturation", "saturated"


def scored(images: str, score: str) -> str:
    """The column of a score (LOSS, TOP1, TOP5) on some images (TRAIN, VAL, TEST)."""
    return f"{images}_{score}"


OF_WEIGHTS = ("estimating_error", "gradient_stability", "flip_ratio", "dead_weights")
"""Indicators of the binary weights, of a layer or of the whole model."""
OF_LAYER = (*OF_WEIGHTS, SATURATION)
OF_MODEL = (*OF_WEIGHTS, SATURATED)


@dataclass(frozen=True)
class Table:
    """A table of a run: the name of its file and its columns."""

    file: str
    columns: tuple[str, ...]

    def read(self, run: Path) -> list[dict[str, str]]:
        """The lines as text; none where there is no file. What is no line of an epoch is passed over."""
        return read_rows(run / self.file)

    def damage(self, run: Path) -> str:
        """What cannot be read of it, in a few words; empty where all can."""
        path = run / self.file
        damaged = read_lines(path)[1]
        lines = "a line" if damaged == 1 else f"{damaged} lines"
        return f'{lines} of "{path}" cannot be read' if damaged else ""

    def set_aside(self, run: Path) -> str:
        """Leave what can be read, and keep a damaged file beside it; one sentence about that, or none."""
        damage, path = self.damage(run), run / self.file
        if not damage:
            return ""
        rows, aside = self.read(run), _free(path.with_name(f"{path.name}.damaged"))
        if path.is_file():
            with replacing(aside) as temporary:
                shutil.copyfile(path, temporary)
        else:
            path.rename(aside)
        self._write(run, rows)
        return f'{damage}: it is kept as "{aside.name}", and what can be read continues'

    def append(self, run: Path, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add lines; none of them can be seen half written."""
        self._write(run, [*self.read(run), *rows])

    def keep(self, run: Path, epochs: int) -> None:
        """Drop the lines of epochs that the checkpoint knows nothing of: they will be trained again."""
        rows = self.read(run)
        kept = [row for row in rows if float(row[EPOCH]) <= epochs]
        if len(kept) < len(rows):
            self._write(run, kept)

    def _write(self, run: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        write_text(run / self.file, text.getvalue())


METRICS = Table(
    layout.METRICS,
    (
        *(EPOCH, STAGE, STEP, PROGRESS, LR),
        *(scored(TRAIN, score) for score in (LOSS, TOP1)),
        *(scored(images, score) for images in (VAL, TEST) for score in (LOSS, TOP1, TOP5)),
        AGREEMENT,
        *OF_MODEL,
        *(SECONDS, IMAGES_PER_S),
    ),
)
INDICATORS = Table(layout.INDICATORS, (EPOCH, LAYER, *OF_LAYER))


def read_rows(path: Path) -> list[dict[str, str]]:
    """The lines of epochs in a CSV file with a header; none where there is no file, or it is damaged."""
    return read_lines(path)[0]


def read_lines(path: Path) -> tuple[list[dict[str, str]], int]:
    """The lines of epochs in a CSV file with a header, and how many lines there are that are none.

    Each line is read alone, so that a stray quotation mark does not swallow those after it.
    """
    try:
        text = read_file(path).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return [], 0
    except OSError:
        return [], 1
    header, *lines = [_cells(line) for line in text.split("\n") if line.strip("\r")] or [[]]
    if EPOCH not in header:
        return [], 1 + len(lines)
    rows = [dict(zip(header, cells, strict=True)) for cells in lines if len(cells) == len(header)]
    rows = [row for row in rows if number(row, EPOCH) is not None]
    return rows, len(lines) - len(rows)


def _cells(line: str) -> list[str]:
    """The cells of one line; none where bytes are no text, or it is no CSV."""
    if DAMAGED & set(line):
        return []
    try:
        return next(csv.reader([line.strip("\r")]))
    except csv.Error:
        return []


DAMAGED = {"\ufffd", "\0"}
"""What stands for bytes that are no text, and what a disk leaves behind that lost power."""


def _free(path: Path) -> Path:
    """`path`, or `path.2`, `path.3`, … where that is taken."""
    names = itertools.chain(
        [path], (path.with_name(f"{path.name}.{n}") for n in itertools.count(2))
    )
    return next(name for name in names if not name.exists())


LARGEST = 1e100
"""Of any number in a table: sums and squares of such numbers are finite."""


def number(row: Row, column: str) -> float | None:
    """The number in a column; None where there is no column, nothing in it, or no number of a training."""
    try:
        value = float(row.get(column) or "nan")
    except ValueError:
        return None
    return value if abs(value) < LARGEST else None


def series(rows: Sequence[Row], column: str) -> dict[int, float]:
    """{epoch: number} of the epochs that have one."""
    found = ((number(row, EPOCH), number(row, column)) for row in rows)
    return {int(epoch): y for epoch, y in found if epoch is not None and y is not None}


def last(rows: Sequence[Row], column: str) -> float | None:
    """The number in the last line; None where there is none."""
    return number(rows[-1], column) if rows else None


def best(rows: Sequence[Row], column: str) -> float | None:
    """The largest number of a column."""
    return max(series(rows, column).values(), default=None)
