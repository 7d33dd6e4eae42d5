"""Evaluation: top-1, top-5, speed and parity of runs and ONNX files."""

from __future__ import annotations

from binarize.evaluate.accuracy import Answers, ask, top_k
from binarize.evaluate.evaluation import Evaluation, evaluate
from binarize.evaluate.parity import Parity, compare
from binarize.evaluate.targets import Target, find

__all__ = [
    "Answers",
    "Evaluation",
    "Parity",
    "Target",
    "ask",
    "compare",
    "evaluate",
    "find",
    "top_k",
]
