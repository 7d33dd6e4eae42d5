"""metrics.csv: one line per epoch.

epoch, stage, step      epochs and optimiser steps done, and the name or number of the stage
progress                what the estimators were told in the last step: 0 to 1 over the steps in which
                        weights are binary
lr, train_loss          of the last step; mean over the epoch
train_top1              in per cent, on the images as they were augmented; empty where they are mixed
val_loss, val_top1, val_top5
                        on the held-out images; empty where none are held out
test_loss, test_top1, test_top5
                        on the test images; where images are held out, after the last epoch alone
estimating_error, gradient_stability, flip_ratio, dead_weights
                        see `indicators`; layer by layer they are in indicators.csv
saturated               layers whose binary input is one value more than 95 % of the time, of a batch
                        of the images that are scored; empty where no input is binary
seconds, images_per_s   of the whole epoch; of its training alone
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from binarize.run import write_text

COLUMNS = (
    "epoch",
    "stage",
    "step",
    "progress",
    "lr",
    "train_loss",
    "train_top1",
    "val_loss",
    "val_top1",
    "val_top5",
    "test_loss",
    "test_top1",
    "test_top5",
    "estimating_error",
    "gradient_stability",
    "flip_ratio",
    "dead_weights",
    "saturated",
    "seconds",
    "images_per_s",
)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The lines of a metrics.csv as text; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replace the whole file: it is short, and half a line can never be seen."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def add_row(path: Path, row: dict[str, Any]) -> None:
    """Add the line of an epoch."""
    write_rows(path, [*read_rows(path), row])


def keep_rows(path: Path, epochs: int) -> None:
    """Drop the lines of epochs that the checkpoint knows nothing of: they will be trained again."""
    rows = read_rows(path)
    kept = [row for row in rows if int(row["epoch"]) <= epochs]
    if len(kept) < len(rows):
        write_rows(path, kept)
