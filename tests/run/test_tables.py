"""metrics.csv and indicators.csv: in, out, cut back, and what is damaged."""

from __future__ import annotations

import csv
import os

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


def whole(path):
    for epoch in (1, 2, 3):
        INDICATORS.append(path, [{"epoch": epoch} | layer for layer in LAYERS])
    return (path / "indicators.csv").read_bytes()


def test_a_whole_file_has_nothing_to_set_aside(tmp_path):
    content = whole(tmp_path)
    assert INDICATORS.set_aside(tmp_path) == METRICS.set_aside(tmp_path) == ""
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [content]


@pytest.mark.parametrize(
    ("damaged", "left"),
    [
        (lambda text: text.replace(b"2,a", b'2,"a'), 5),  # a quotation mark that never ends
        (lambda text: text.replace(b"2,a", b"2,\xff"), 5),
        (lambda text: text.replace(b"2,a", b"\0\0\0"), 5),
        (lambda text: text.replace(b"2,a", b"2," + b"a" * (csv.field_size_limit() + 1)), 5),
        (lambda text: text.replace(b"2,a", b"two,a"), 5),
        (lambda text: text[:-12], 5),
        (lambda text: text.replace(b"epoch", b"\xffpoch"), 0),
        (lambda text: b"", 0),
        (lambda text: b"\0" * len(text), 0),
    ],
)
def test_what_is_damaged_is_kept_beside_and_said(tmp_path, damaged, left):
    path = tmp_path / "indicators.csv"
    content = damaged(whole(tmp_path))
    path.write_bytes(content)
    said = INDICATORS.set_aside(tmp_path)
    assert len(INDICATORS.read(tmp_path)) == left
    assert str(path) in said
    assert "indicators.csv.damaged" in said
    assert (tmp_path / "indicators.csv.damaged").read_bytes() == content
    assert INDICATORS.set_aside(tmp_path) == ""
    path.write_bytes(content)
    assert "indicators.csv.damaged.2" in INDICATORS.set_aside(tmp_path)


def test_a_pipe_in_place_of_a_table(tmp_path):
    os.mkfifo(tmp_path / "metrics.csv")
    assert METRICS.read(tmp_path) == []
    assert METRICS.set_aside(tmp_path)
    METRICS.append(tmp_path, [{"epoch": 1}])
    assert len(METRICS.read(tmp_path)) == 1


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
