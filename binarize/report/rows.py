"""Numbers from metrics.csv and indicators.csv: a column may be missing and a cell may be empty."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

Row = Mapping[str, str]

INDICATORS = (
    "estimating_error",
    "gradient_stability",
    "flip_ratio",
    "dead_weights",
    "saturated",
)
"""The columns of metrics.csv that say how the binary layers are."""


def read_rows(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file with a header; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number(row: Row, column: str) -> float | None:
    """The number in a column; None where there is no column, nothing in it, or no finite number."""
    try:
        value = float(row.get(column) or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def series(rows: Sequence[Row], column: str) -> dict[int, float]:
    """{epoch: number} of the epochs that have one."""
    found = ((number(row, "epoch"), number(row, column)) for row in rows)
    return {int(epoch): y for epoch, y in found if epoch is not None and y is not None}


def last(rows: Sequence[Row], column: str) -> float | None:
    """The number in the last line; None where there is none."""
    return number(rows[-1], column) if rows else None


def best(rows: Sequence[Row], column: str) -> float | None:
    """The largest number of a column."""
    return max(series(rows, column).values(), default=None)
