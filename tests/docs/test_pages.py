"""The pages of the documentation: their code runs, and their links lead somewhere."""

from __future__ import annotations

import re

import docs_code
import pytest
from docs_code import DOCS, ROOT

PAGES = sorted(DOCS.rglob("*.md"))


RUNNABLE = [page for page in (*PAGES, ROOT / "README.md") if docs_code.code(page)]


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.stem)
def test_its_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs" / "images").mkdir(parents=True)
    docs_code.run(page)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.stem)
def test_its_links_lead_somewhere(page):
    for link in docs_code.links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in docs_code.anchors(target), link


def test_decisions_are_numbered_one_after_the_other():
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for number, page in enumerate(pages, start=1):
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {number}. ")
        for heading in ("## Context", "## Decision", "## Consequences"):
            assert heading in text, page.name


def test_ab_ste_is_never_named_without_saying_reconstruction():
    for page in [*PAGES, ROOT / "README.md"]:
        text = page.read_text(encoding="utf-8")
        if "AB-STE" in text or "Gupta" in text:
            assert "reconstruction" in text, page.name


def test_contributing_names_files_and_targets_that_exist():
    text = (DOCS / "contributing.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"\bmake ([a-z]+)", text)
    assert {"setup", "test", "docs"} <= set(targets)
    for target in targets:
        assert f"\n{target}:" in makefile, target
    paths = re.findall(r"`((?:binarize|tests|docs|recipes)/[^`]*)`", text)
    for path in paths:
        assert "NAME" in path or (ROOT / path).exists(), path
