"""Which curves the page of a comparison draws."""

from __future__ import annotations

import compare_sweeps as sweeps
import pytest

from binarize.comparing.page import panels
from binarize.comparing.table import Outcome


def outcome(epochs):
    scores = [50.0 + number for number in range(epochs)]
    rows = sweeps.rows({"val_top1": scores, "test_top1": [""] * (epochs - 1) + [7.0]})
    return Outcome("ste", 0, 7.0, None, rows)


def points(panel):
    return [epoch for epoch, _, _ in panel.curves[0].points()]


@pytest.mark.parametrize(("epochs", "since"), [(9, 5), (8, 5)])
def test_a_long_training_shows_its_last_half_once_more(epochs, since):
    whole, late, *_ = panels(["ste"], [outcome(epochs)])
    assert (whole.title, points(whole)) == ("held-out top-1 %", list(range(1, epochs + 1)))
    assert late.title == f"held-out top-1 %, from epoch {since}"
    assert points(late) == list(range(since, epochs + 1))


def test_a_short_one_does_not_and_a_single_score_is_no_curve():
    drawn = [panel.title for panel in panels(["ste"], [outcome(7)]) if panel.drawn]
    assert drawn == ["held-out top-1 %"]
