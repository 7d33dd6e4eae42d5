from __future__ import annotations

import pytest
from binarize.reporting.rows import best, last, number, read_rows, series


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
