"""The lines of a coverage run: JSON, appended one by one, read back as one entry per model.

A model that is run again, or in another mode, gets a further line; what stands further down counts,
mode by mode. So a run that was stopped continues where it was, and nothing is ever rewritten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from result_lines import RESULTS, append

__all__ = ["LEVEL1", "LEVEL2", "LEVEL3", "MODELS", "Line", "append", "entries"]

MODELS = RESULTS / "coverage-models.jsonl"
LEVEL1 = RESULTS / "coverage-tier1.jsonl"
LEVEL2 = RESULTS / "coverage-tier2.jsonl"
LEVEL3 = RESULTS / "coverage-tier3.jsonl"

Line = dict[str, Any]


def entries(path: Path) -> dict[str, Line]:
    """Model -> its last line, with the last outcome of every mode under "modes"."""
    found: dict[str, Line] = {}
    for line in _lines(path):
        modes = found.get(line["model"], {}).get("modes", {})
        found[line["model"]] = {**line, "modes": {**modes, **line.get("modes", {})}}
    return found


def _lines(path: Path) -> Iterator[Line]:
    if path.is_file():
        for text in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(text)
