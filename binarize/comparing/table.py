"""The table of a comparison: a line per variant, over the seeds that are finished."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from binarize.comparing.sweep import Sweep
from binarize.comparing.trial import Record, read_record
from binarize.comparing.variants import FLOAT
from binarize.run import tables, write_text
from binarize.run.tables import OF_MODEL, SECONDS, TOP1, VAL, Row, last, scored, series


@dataclass(frozen=True)
class Outcome:
    """A finished trial: what `train` returned, and the lines of its metrics.csv."""

    arm: str
    seed: int
    top1: float
    best: float | None
    rows: Sequence[Row]


@dataclass(frozen=True)
class Line:
    """One variant. Accuracies in per cent, deviations and the gap in points; None: not known (yet).

    Attributes:
        arm, n: its name and its finished seeds.
        test_top1, test_top1_std: of the last checkpoint on the test images: mean and sample standard
            deviation over seeds (None below two of them).
        gap_to_float: mean of (this variant - the float variant), over the seeds that both have finished.
        val_top1_best, val_top1_best_std: of the best epoch on held-out training images.
        seconds_per_epoch: median over epochs, mean over seeds.
        estimating_error … saturated: of the last epoch, see docs/estimators.md; mean over seeds.
        failed: trials that ended with an error.
    """

    arm: str
    n: int
    test_top1: float | None
    test_top1_std: float | None
    gap_to_float: float | None
    val_top1_best: float | None
    val_top1_best_std: float | None
    seconds_per_epoch: float | None
    estimating_error: float | None
    gradient_stability: float | None
    flip_ratio: float | None
    dead_weights: float | None
    saturated: float | None
    failed: int


DECIMALS = 6  # behind the point: what is beyond them is rounding
LEGEND = (
    "test top-1: last checkpoint, mean ± sample standard deviation over n seeds; gap: to the float variant, "
    "same seeds, in points; s/epoch: median; indicators: last epoch"
)
COLUMNS = tuple(field.name for field in fields(Line))


def records(sweep: Sweep) -> list[Record]:
    """The records of all trials that have one, in the order of the trials."""
    found = (read_record(sweep, trial) for trial in sweep.trials)
    return [record for record in found if record is not None]


def outcomes(sweep: Sweep) -> list[Outcome]:
    """The finished trials, in order."""
    finished = []
    for trial in sweep.trials:
        record = read_record(sweep, trial)
        if record is not None and record.result is not None:
            rows = tables.METRICS.read(sweep.run(trial))
            held_out = bool(series(rows, scored(VAL, TOP1)))
            best = record.result["top1_best"] if held_out else None
            finished.append(Outcome(record.arm, trial.seed, record.result["top1"], best, rows))
    return finished


def table(sweep: Sweep) -> list[Line]:
    """A line per variant, in the order of the variants."""
    done, failures = outcomes(sweep), [record.arm for record in records(sweep) if record.failed]
    float_top1 = {o.seed: o.top1 for o in done if o.arm == FLOAT}
    return [
        line(variant, [o for o in done if o.arm == variant], float_top1, failures.count(variant))
        for variant in sweep.manifest.arms
    ]


def line(
    variant: str, done: Sequence[Outcome], float_top1: Mapping[int, float], failed: int = 0
) -> Line:
    """The line of a variant with these finished trials; `float_top1` is that of the float variant by seed."""
    top1, best = [o.top1 for o in done], [o.best for o in done if o.best is not None]
    gaps = [o.top1 - float_top1[o.seed] for o in done if o.seed in float_top1]
    return Line(
        arm=variant,
        n=len(done),
        test_top1=mean(top1),
        test_top1_std=deviation(top1),
        gap_to_float=None if variant == FLOAT else mean(gaps),
        val_top1_best=mean(best),
        val_top1_best_std=deviation(best),
        seconds_per_epoch=mean(_epoch_seconds(o.rows) for o in done),
        **{name: mean(last(o.rows, name) for o in done) for name in OF_MODEL},
        failed=failed,
    )


def mean(values: Iterable[float | None]) -> float | None:
    """Of the values that are known; None without any."""
    known = [value for value in values if value is not None]
    return round(statistics.fmean(known), DECIMALS) if known else None


def deviation(values: Sequence[float]) -> float | None:
    """The sample standard deviation (n - 1); None below two values."""
    return round(statistics.stdev(values), DECIMALS) if len(values) > 1 else None


def with_deviation(value: float | None, std: float | None) -> str:
    """`83.08 ± 0.12`; `83.08 ± —` of one seed; empty without any."""
    if value is None:
        return ""
    return f"{value:.2f} ± {'—' if std is None else f'{std:.2f}'}"


def columns_of(line: Line) -> dict[str, Any]:
    """What is shown of a line, by column title; None where nothing is known."""
    gap = None if line.gap_to_float is None else f"{line.gap_to_float:+.2f}"
    seconds = None if line.seconds_per_epoch is None else f"{line.seconds_per_epoch:.1f}"
    return {
        "variant": line.arm,
        "n": line.n,
        "test top-1 %": with_deviation(line.test_top1, line.test_top1_std),
        "gap to float": gap,
        "best held-out top-1 %": with_deviation(line.val_top1_best, line.val_top1_best_std) or None,
        "s/epoch": seconds,
        **{name.replace("_", " "): short(getattr(line, name)) for name in OF_MODEL},
        "failed": line.failed or None,
    }


def shown(lines: Sequence[Line]) -> tuple[list[str], list[list[Any]]]:
    """Titles and rows for people: a column that nobody has anything in is left out."""
    rows = [columns_of(line) for line in lines]
    titles = [
        title
        for title in (rows[0] if rows else ())
        if title in ("variant", "n", "test top-1 %", "gap to float")
        or any(row[title] is not None for row in rows)
    ]
    return titles, [[row[title] for title in titles] for row in rows]


def short(value: float | None) -> str | None:
    """Three digits that say something: `0.0123`, `12.3`, `1.2e-06`."""
    return None if value is None else f"{value:.3g}"


def write_csv(path: Path, lines: Sequence[Line]) -> None:
    """All columns of `Line`, in full; what is not known is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for each in lines:
        writer.writerow({name: _rounded(value) for name, value in asdict(each).items()})
    write_text(path, text.getvalue())


def _rounded(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def _epoch_seconds(rows: Sequence[Row]) -> float | None:
    """The median: one epoch on a stalled machine does not count."""
    seconds = series(rows, SECONDS).values()
    return statistics.median(seconds) if seconds else None
