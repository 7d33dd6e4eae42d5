"""Evaluation: top-1, top-5, speed and parity of runs and ONNX files."""

from __future__ import annotations

from binarize.evaluation.accuracy import Answers, ask, top_k
from binarize.evaluation.evaluation import Evaluation, evaluate
from binarize.evaluation.parity import Parity, compare
from binarize.evaluation.targets import Target, find

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
