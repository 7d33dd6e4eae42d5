"""Time exported files beside their float model."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from binarize.benching.entries import find
from binarize.benching.lineup import line_up
from binarize.benching.measure import Setting, measure, profile_all
from binarize.benching.result import Bench
from binarize.errors import near_words
from binarize.progress import Progress

ROUNDS = 30


@near_words
def bench(
    files: str | Path | Sequence[str | Path] = (),
    *,
    threads: int = 1,
    batch: int = 1,
    rounds: int = ROUNDS,
    kernels: bool = True,
    int8_baseline: bool = False,
    profile: bool = False,
    progress: Progress | None = None,
) -> Bench:
    """Time exported files beside their float model, in interleaved rounds on images of noise.

    Args:
        files: ONNX files, and runs that hold one. None at all: the newest run.
        threads: within an operator.
        batch: images per run.
        rounds: how often each runs.
        kernels: also with the binarize kernels, where this installation has them and a file has nodes for
            them.
        int8_baseline: also onnxruntime's static int8 quantisation of the float model.
        profile: also the time of every node of the files.
        progress: is told how many rounds are over.

    Raises ExportError for a file that is missing, corrupt or not written by binarize, RunError where there is
    no run.
    """
    progress = progress or Progress()
    notes: list[str] = []
    found = find([files] if isinstance(files, (str, Path)) else files)
    setting = Setting(threads, batch, rounds)
    with tempfile.TemporaryDirectory() as folder:
        entries = line_up(
            found,
            Path(folder),
            kernels=kernels,
            int8=int8_baseline,
            progress=progress,
            notes=notes,
        )
        results = measure(entries, setting, progress)
        profiles = profile_all(entries, setting, progress) if profile else None
    return Bench(results, profiles, notes)
