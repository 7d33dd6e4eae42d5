"""Interleaved timings of exported files in onnxruntime, with the binarize kernels and without.

entries   the files, each in the ways of running it
baseline  their float model; int8: the same, quantised by onnxruntime
lineup    who stands in the rounds
rounds    taking turns
measure   time, load time, memory, and whether kernels compute the same
"""

from __future__ import annotations

from binarize.benching.benching import ROUNDS, bench
from binarize.benching.result import Bench, Profile, Result

__all__ = ["ROUNDS", "Bench", "Profile", "Result", "bench"]
