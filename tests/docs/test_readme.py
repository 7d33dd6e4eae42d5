"""The README: short, with its picture; what it and docs/results.md say of a measurement agrees."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from docs_code import DOCS, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (DOCS / "results.md").read_text(encoding="utf-8")
DATE = re.compile(r"\b20\d\d-\d\d-\d\d\b")


def test_it_fits_a_screen_or_two():
    assert len(README.splitlines()) <= 90


def test_its_picture_is_a_drawing_that_says_what_it_shows():
    (path,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    svg = ElementTree.parse(ROOT / path).getroot()
    words = " ".join(svg.itertext())
    assert {"convert", "train", "export", "eval"} <= set(re.findall(r"\w+", words))
    assert svg.get("viewBox").split()[2:] == [svg.get("width"), svg.get("height")]


def test_its_figures_are_those_of_the_results_page():
    """Bytes and milliseconds of the table stand in docs/results.md, digit for digit."""
    rows = [line for line in README.splitlines() if line.startswith("| ")]
    figures = re.findall(r"([\d,]+) bytes|([\d.]+) ms|([\d.]+) %", "\n".join(rows))
    found = {next(filter(None, figure)) for figure in figures}
    assert len(found) > 10
    assert not {figure for figure in found if figure not in RESULTS}


def test_every_section_of_the_results_has_its_command_and_its_date():
    sections = re.split(r"^## ", RESULTS, flags=re.MULTILINE)[1:]
    assert len(sections) > 4
    for section in sections:
        title = section.partition("\n")[0]
        assert DATE.search(section), title
        assert re.search(r"binarize \w+ |python benchmarks/|make ", section), title
        assert re.search(r"torch \d|same versions", section), title
