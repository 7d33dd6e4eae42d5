"""metrics.csv and indicators.csv: in, out, cut back, and what is damaged."""

from __future__ import annotations

import pytest

from binarize.run.tables import INDICATORS, METRICS, best, last, number, read_rows, series

LAYERS = [
    {"layer": "a", "flip_ratio": 0.5, "saturation": 0.75},
    {"layer": "b", "flip_ratio": 0.25, "saturation": None},
]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.5", 1.5), ("", None), ("nan", None), ("inf", None), ("x", None), (None, None)],
)
def test_numbers(text, value):
    assert number({"a": text}, "a") == value


def test_a_column_that_is_missing_or_partly_empty(tmp_path):
    path = tmp_path / "metrics.csv"
    assert read_rows(path) == []
    path.write_text("epoch,a\n1,5\n2,\n3,4\n")
    rows = read_rows(path)
    assert series(rows, "a") == {1: 5.0, 3: 4.0}
    assert (last(rows, "a"), best(rows, "a")) == (4.0, 5.0)
    assert (last(rows, "b"), best(rows, "b"), series(rows, "b")) == (None, None, {})
    assert (last([], "a"), best([], "a")) == (None, None)


def test_rows_are_added_and_cut_back_by_epoch(tmp_path):
    for epoch in (1, 2, 3):
        INDICATORS.append(tmp_path, [{"epoch": epoch} | layer for layer in LAYERS])
    INDICATORS.keep(tmp_path, 2)
    rows = INDICATORS.read(tmp_path)
    assert [(row["epoch"], row["layer"]) for row in rows] == [
        ("1", "a"), ("1", "b"), ("2", "a"), ("2", "b"),
    ]  # fmt: skip
    text = (tmp_path / "indicators.csv").read_text()
    assert text.splitlines()[0] == ",".join(INDICATORS.columns)
    assert rows[0]["saturation"] == "0.75"
    assert rows[1]["saturation"] == rows[1]["gradient_stability"] == ""
    assert float(rows[1]["flip_ratio"]) == 0.25


@pytest.mark.parametrize("table", [METRICS, INDICATORS])
def test_cutting_back_touches_only_what_there_is(tmp_path, table):
    table.keep(tmp_path, 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe\x00", b"not a line", b"3", b"3,1,2,3,4,5,6,7,8,9", b"\x00" * 64]
)
def test_what_is_damaged_is_passed_over_and_the_rest_goes_on(tmp_path, damage):
    INDICATORS.append(tmp_path, [{"epoch": 1} | layer for layer in LAYERS])
    with (tmp_path / "indicators.csv").open("ab") as file:
        file.write(damage)
    INDICATORS.keep(tmp_path, 1)
    INDICATORS.append(tmp_path, [{"epoch": 2} | layer for layer in LAYERS])
    rows = [row for row in INDICATORS.read(tmp_path) if row["layer"]]
    assert [row["epoch"] for row in rows] == ["1", "1", "2", "2"]
