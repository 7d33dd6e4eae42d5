"""What a benchmark found, as a line of JSON in benchmarks/results: the one place that writes them."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from binarize import environment

RESULTS = Path(__file__).parent / "results"


def append(to: str | Path, line: dict[str, Any]) -> None:
    """Add a line to results/TO.jsonl, or to a file, whole, with when, where and by what it was measured.

    `versions` of the line are those of further packages.
    """
    machine = environment.machine()
    whole = {
        **line,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "cpu": machine["cpu"],
        "cores": machine["cores"],
        "versions": {**environment.versions(), **line.get("versions", {})},
    }
    path = to if isinstance(to, Path) else RESULTS / f"{to}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(whole) + "\n")
