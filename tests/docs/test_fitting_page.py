"""docs/fitting.md is what the lines of the benchmarks say."""

from __future__ import annotations

import importlib.util
import re

import pytest
from docs_code import DOCS


@pytest.fixture
def maker(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)  # it takes what it shares from performance.py
    spec = importlib.util.spec_from_file_location("fitting_page", DOCS / "fitting.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_lines_say(maker):
    written = (DOCS / "fitting.md").read_text(encoding="utf-8")
    assert maker.page() == written, "run: python docs/fitting.py"
    assert "None" not in written


def test_the_plot_has_the_points_of_the_lines(maker, tmp_path):
    """Drawn anew it has as many curves and as many points as the committed one."""
    again = tmp_path / "again.svg"
    maker.draw(maker.lines("fit_budget"), again)
    committed = maker.PLOT.read_text(encoding="utf-8")
    drawn = again.read_text(encoding="utf-8")
    for part in ("<path d=", "<use xlink:href="):
        assert len(re.findall(part, committed)) == len(re.findall(part, drawn)) > 0


def test_what_was_not_measured_is_left_out(maker, monkeypatch, tmp_path):
    monkeypatch.setitem(maker.lines.__globals__, "RESULTS", tmp_path)
    assert "##" not in maker.page()
    (tmp_path / "fit_digits.jsonl").write_text(
        '{"model": "m", "bases": null, "top1": 99.5, "cpu_s": 1.0, "date": "d", "cpu": "c",'
        ' "versions": {"python": "3", "torch": "2"}}\n'
    )
    page = maker.page()
    assert page.count("##") == 1
    assert "| float |  | 99.50 |  |  | 1 |" in page
