"""Where the time of a session goes: the nodes of its optimised graph, by onnxruntime's own profiler.

What runs is not what stands in the file: onnxruntime fuses nodes and gives them names of its own, and
what depends on constants alone is gone.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binarize.runtime.memory import noise
from binarize.runtime.session import load

SUFFIX = "_kernel_time"
WARM_UPS = 3


@dataclass(frozen=True)
class NodeTime:
    """One node.

    Attributes:
        node: its name in the optimised graph.
        op: what it computes.
        median_ms: over the runs.
        share: of the sum of all nodes' medians, 0 to 1.
    """

    node: str
    op: str
    median_ms: float
    share: float


def profile(
    path: Path, threads: int, batch: int, kernels: bool, runs: int, spinning: bool = True
) -> list[NodeTime]:
    """The nodes of a file by their time, the longest first. Nothing is left on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "profile"
        runner = load(path, threads, kernels, spinning=spinning, profile=place)
        feed = noise(runner, batch)
        for _ in range(WARM_UPS + runs):
            runner.run(None, feed)
        events = json.loads(Path(runner.end_profiling()).read_text(encoding="utf-8"))
    return node_times(events, WARM_UPS)


def node_times(events: list[dict[str, Any]], skip: int = 0) -> list[NodeTime]:
    """What the profiler's events say of each node, its first `skip` runs left out."""
    spent: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(SUFFIX):
            about = event["args"]
            name = event["name"].removesuffix(SUFFIX)
            spent[about.get("node_index", ""), name, about["op_name"]].append(event["dur"] / 1000)
    medians = {key: statistics.median(times[skip:] or times) for key, times in spent.items()}
    total = sum(medians.values()) or 1.0
    nodes = [
        NodeTime(name, op, median, median / total) for (_, name, op), median in medians.items()
    ]
    return sorted(nodes, key=lambda node: -node.median_ms)
