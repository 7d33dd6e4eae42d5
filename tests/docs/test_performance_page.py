"""docs/performance.md is what the lines of the benchmarks say."""

from __future__ import annotations

import importlib.util

from docs_code import DOCS


def test_the_page_is_what_the_lines_say() -> None:
    spec = importlib.util.spec_from_file_location("performance_page", DOCS / "performance.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    written = (DOCS / "performance.md").read_text(encoding="utf-8")
    assert maker.page() == written, "run: python docs/performance.py"
    assert "None" not in written
