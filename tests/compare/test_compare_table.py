"""The figures of the table against ones worked out by hand."""

from __future__ import annotations

import csv

import compare_sweeps as sweeps
import pytest

from binarize.comparing.sweep import Manifest, Trial, write_sweep
from binarize.comparing.table import COLUMNS, shown, table, write_csv
from binarize.comparing.trial import Record, write_record
from binarize.comparing.variants import parse_variant


@pytest.fixture
def sweep(tmp_path):
    return write_sweep(
        tmp_path / "grid",
        Manifest("tiny", sweeps.CONTENTS, [], None, ["float", "ste", "ede"], 3),
    )


def trial(name, seed):
    return Trial(parse_variant(name), seed)


def epochs(seconds, **last):
    """Three epochs; the indicators change from one to the next, and the last ones count."""
    columns = {name: [value + 2, value + 1, value] for name, value in last.items()}
    return sweeps.rows({"seconds": seconds, **columns})


def test_means_deviations_and_gaps(sweep):
    sweeps.finish(sweep, trial("float", 0), 90.0, epochs([1, 1, 1]))
    sweeps.finish(sweep, trial("float", 1), 92.0, epochs([1, 1, 1]))
    sweeps.finish(sweep, trial("ste", 0), 80.0, epochs([2, 9, 2], flip_ratio=0.1, dead_weights=0))
    sweeps.finish(sweep, trial("ste", 1), 84.0, epochs([4, 4, 4], flip_ratio=0.3, dead_weights=0))
    sweeps.finish(sweep, trial("ste", 2), 85.0, epochs([3, 3, 3], flip_ratio=0.2, dead_weights=0))
    write_record(sweep, trial("ede", 0), Record("ede", 0, None, "the loss is no longer a number"))
    first, ste, ede = table(sweep)
    assert (first.n, first.test_top1, first.gap_to_float) == (2, 91.0, None)
    assert first.test_top1_std == pytest.approx(2**0.5, abs=1e-6)
    assert (ste.n, ste.test_top1, ste.failed) == (3, 83.0, 0)
    assert ste.test_top1_std == pytest.approx(7**0.5, abs=1e-6)  # (9 + 1 + 4)/2
    assert ste.gap_to_float == -9.0  # ((80 - 90) + (84 - 92))/2: seed 2 has no float run
    assert ste.seconds_per_epoch == 3.0  # medians 2, 4, 3
    assert ste.flip_ratio == pytest.approx(0.2)
    assert ste.dead_weights == 0
    assert ste.estimating_error is None
    assert (ede.n, ede.test_top1, ede.gap_to_float, ede.failed) == (0, None, None, 1)


def test_without_a_float_variant_there_is_no_gap(tmp_path):
    manifest = Manifest("tiny", sweeps.CONTENTS, [], None, ["ste"], 1)
    sweep = write_sweep(tmp_path / "grid", manifest)
    sweeps.finish(sweep, trial("ste", 0), 80.0, epochs([1, 1, 1]))
    (ste,) = table(sweep)
    assert (ste.gap_to_float, ste.test_top1_std) == (None, None)
    _, ((variant, n, top1, gap, *_),) = shown([ste])
    assert (variant, n, top1, gap) == ("ste", 1, "80.00 ± —", None)


def test_best_counts_only_on_held_out_images(sweep):
    held_out = sweeps.rows({"val_top1": [70.0, 75.0, 74.0], "seconds": [1, 1, 1]})
    sweeps.finish(sweep, trial("float", 0), 90.0, epochs([1, 1, 1]), best=91.0)
    sweeps.finish(sweep, trial("ste", 0), 80.0, held_out, best=75.0)
    first, ste, _ = table(sweep)
    assert first.val_top1_best is None
    assert ste.val_top1_best == 75.0


def test_an_unreadable_or_missing_metrics_file_leaves_the_accuracy(sweep):
    sweeps.finish(sweep, trial("ste", 0), 80.0, epochs([1, 1, 1]))
    (sweep.run(trial("ste", 0)) / "metrics.csv").write_text("epoch,seconds\n1,nan\nx,y\n")
    sweeps.finish(sweep, trial("ede", 0), 81.0, [])
    (sweep.run(trial("ede", 0)) / "metrics.csv").unlink()
    _, ste, ede = table(sweep)
    assert (ste.test_top1, ste.seconds_per_epoch) == (80.0, None)
    assert (ede.test_top1, ede.seconds_per_epoch) == (81.0, None)


def test_empty_columns_are_not_shown_but_written(sweep, tmp_path):
    sweeps.finish(sweep, trial("ste", 0), 80.0, epochs([1, 1, 1], saturated=0))
    titles, rows = shown(table(sweep))
    assert titles == ["variant", "n", "test top-1 %", "gap to float", "s/epoch", "saturated"]
    assert [len(row) for row in rows] == [6, 6, 6]
    write_csv(tmp_path / "table.csv", table(sweep))
    with (tmp_path / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == COLUMNS
    assert lines[0] == {**dict.fromkeys(COLUMNS, ""), "arm": "float", "n": "0", "failed": "0"}
    assert (lines[1]["test_top1"], lines[1]["test_top1_std"], lines[1]["saturated"]) == (
        "80",
        "",
        "0",
    )
