"""docs/estimators.md is what the code says and draws."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import numpy as np
import pytest
from docs_code import DOCS

from binarize import estimators
from binarize.cli.app import main

SAY = "run: python docs/estimators.py"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("estimators_page", DOCS / "estimators.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page() -> str:
    return (DOCS / "estimators.md").read_text(encoding="utf-8")


def curves(svg: str) -> dict[str, np.ndarray]:
    """id -> the coordinates of every curve in a plot, in points."""
    found = re.findall(r'<g id="([\w-]+?-d?f-[\d.]+)">\s*<path d="([^"]*)"', svg)
    return {name: np.array(re.findall(r"-?[\d.]+", path), dtype=float) for name, path in found}


def test_the_tables_are_what_the_code_says(maker, page):
    assert maker.with_tables(page) == page, SAY
    for name in estimators.TABLE:
        assert sum(line.startswith(f"| `{name}` |") for line in page.splitlines()) >= 2


def test_a_page_without_markers_is_refused(maker):
    with pytest.raises(ValueError, match="no markers for the table"):
        maker.with_tables("# Estimators\n")


def test_the_plots_are_what_the_code_draws(maker, page, tmp_path):
    drawn = set()
    for arguments in maker.plot_commands(page):
        committed = (DOCS.parent / arguments[-1]).read_text(encoding="utf-8")
        again = tmp_path / "again.svg"
        assert main([*arguments[:-1], str(again)]) == 0
        expected, found = curves(again.read_text(encoding="utf-8")), curves(committed)
        assert found.keys() == expected.keys(), SAY
        for name, coordinates in expected.items():
            np.testing.assert_allclose(found[name], coordinates, atol=0.01, err_msg=SAY)
            drawn.add(name.rpartition("-")[0])
    assert drawn == {f"{name}-{what}" for name in estimators.TABLE for what in ("f", "df")}


def test_every_image_on_the_page_is_drawn_by_a_command_on_it(maker, page):
    drawn = {arguments[-1].removeprefix("docs/") for arguments in maker.plot_commands(page)}
    assert drawn == set(re.findall(r"\]\((images/[^)]*)\)", page))
    images = {f"images/{image.name}" for image in (DOCS / "images").glob("*.svg")}
    others = {
        "images/pipeline.svg",
        "images/fit-budget.svg",
    }  # the README's and that of docs/fitting.py
    assert drawn == images - others
