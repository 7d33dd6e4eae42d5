"""peers.py without any peer: its variants, its turns and what it makes of their seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import peers
import peers_worker


class Counting:
    """A worker that notes when its turn was, and takes as many seconds as turns have been."""

    def __init__(self, name: str, turns: list[str]) -> None:
        self.name, self.turns = name, turns

    def seconds(self) -> float:
        self.turns.append(self.name)
        return float(len(self.turns))


def test_every_arm_is_of_a_kind_that_the_worker_knows():
    assert {kind for kind, _ in peers.ARMS.values()} == set(peers_worker.KINDS)


def test_arms_take_turns_and_another_begins_each_round():
    turns: list[str] = []
    seconds = peers.take_turns({name: Counting(name, turns) for name in "ab"}, 3)
    assert "".join(turns) == "abbaab"
    assert seconds["a"].tolist() == [1, 4, 5]
    assert seconds["b"].tolist() == [2, 3, 6]


def test_the_ratio_is_the_median_of_the_rounds():
    figures = peers.summary(np.array([1.0, 4.0, 5.0]), np.array([2.0, 2.0, 2.0]))
    assert figures["median_ms"] == 4000
    assert figures["ratio_to_float"] == 2.0


def test_a_peer_that_is_absent_says_so(tmp_path):
    (tmp_path / "openvino.py").write_text("raise ImportError('no openvino here')")
    line = [sys.executable, peers_worker.__file__, "openvino", "none", "1", "1"]
    done = subprocess.run(
        line, env={"PYTHONPATH": str(tmp_path)}, input="", capture_output=True, text=True
    )
    assert done.stdout == '{"absent": "no openvino here"}\n'
