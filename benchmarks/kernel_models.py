"""How much faster than onnxruntime's float32 are whole networks with the binarize kernels?

    python benchmarks/kernel_models.py [--rounds N] [--tier TIER] [MODEL ...]
    python benchmarks/kernel_models.py [MODEL ...] --cells [--against LIBRARY] [--tier TIER]

Networks with random weights at their own image size, batch 1, one thread: packed files of W1A32, W1A1 `step`
and, where blocks can be rewritten, W1A1 `sign` + `bireal`, each with the kernels and in stock onnxruntime,
and native files of W1A1, beside the float model and onnxruntime's static int8 of it, in interleaved rounds
(the figures are those of `binarize bench --int8-baseline`). Exactness of W1A32: the largest difference of a
logit to torch's float64, over the largest, beside that of stock onnxruntime. Two threads: each number of
threads in a process of its own, taking turns, with onnxruntime's own settings. One JSON line per model is
added to benchmarks/results/kernel_models.jsonl.

With `--cells` the question is whether any network is slower than its float twin: `network_cells`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import network_cells
import numpy as np
import torch
from result_lines import append

import binarize
from binarize import kernels
from binarize.exporting.rounding import exact_copy, in_float64
from binarize.runtime import quiet_session

MODELS = ("resnet18", "resnet50", "vit_base_patch16_224")
MODES = {
    "w1a32": {},
    "w1a1-step": {"activations": "step"},
    "w1a1-sign-bireal": {"activations": "sign", "structure": "bireal"},
}
TURNS = 3
WARM_UP, SECONDS = 1.0, 1.5  # a new thread takes half a second to find a core of its own


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: those of the table")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--cells", action="store_true", help="by batch and threads, see network_cells"
    )
    network_cells.add_arguments(parser)
    parser.add_argument(
        "--tier", help="what BINARIZE_TIER is set to; default: the best of this CPU"
    )
    parser.add_argument("--dry", action="store_true", help="print only, write no line")
    parser.add_argument("--alone", nargs=2, metavar=("FILE", "THREADS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        print(alone(Path(given.alone[0]), int(given.alone[1])))
        return 0
    if kernels.installed() is None:
        sys.exit("this installation has no kernels: install a C++17 compiler, then binarize again")
    if given.tier:
        os.environ["BINARIZE_TIER"] = given.tier
    if given.cells:
        return network_cells.main(given)
    for name in given.models or MODELS:
        line = {
            "question": "whole networks with kernels, beside onnxruntime's float32 and int8",
            "model": name,
            "tier": kernels.tier(),
            "rounds": given.rounds,
            **measure(name, given.rounds),
        }
        if not given.dry:
            append("kernel_models", line)
    return 0


def measure(name: str, rounds: int) -> dict[str, Any]:
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        files, exact = [], {}
        for mode, options in MODES.items():
            if "vit" in name and "structure" in options:
                continue  # no ReLU, no blocks to rewrite
            model = binarize.convert(name, pretrained=False, **options)
            files.append(Path(folder) / f"{mode}.onnx")
            binarize.export(model, files[-1])
            if "activations" in options:
                files.append(Path(folder) / f"{mode}-native.onnx")
                binarize.export(model, files[-1], form="native")
            if not options:
                exact = exactness(model, files[-1])
        result = binarize.bench(files, rounds=rounds, int8_baseline=True)
        threads = {file.stem: two_threads(file) for file in files}
    for one in result.results:
        where = "kernels" if one.kernels else "onnxruntime"
        words = f"{one.median_ms:8.2f} ms, {1 / one.ratio_to_float:5.2f}x float, load {one.load_ms:.0f} ms"
        print(
            f"{name} {Path(one.file).stem} {one.form} {where}: {words}, diff {one.max_diff}",
            flush=True,
        )
    print(f"{name}: exactness {exact}; one thread to two {threads}", flush=True)
    results = [{**asdict(one), "file": Path(one.file).stem} for one in result.results]
    return {"results": results, "exactness": exact, "two_threads": threads}


def exactness(model: torch.nn.Module, file: Path) -> dict[str, float]:
    """Largest difference to float64 over the largest logit, with kernels and in stock onnxruntime."""
    model = model.eval()
    images = torch.randn(2, 3, *model.binarize_info.preprocess.sides)
    with torch.no_grad():
        truth = in_float64(exact_copy(model), images).numpy()
    found = {}
    for where, native in (("kernels", True), ("onnxruntime", False)):
        runner = quiet_session(str(file), 1, native)
        given = runner.run(None, {runner.get_inputs()[0].name: images.numpy()})[0]
        found[where] = float(np.abs(given - truth).max() / np.abs(truth).max())
    return found


def two_threads(file: Path) -> dict[str, float]:
    """Milliseconds with one thread and with two, and their ratio: of each the best of TURNS processes, for
    a scheduler may leave both threads on one core for seconds."""
    best = {1: float("inf"), 2: float("inf")}
    for _ in range(TURNS):
        for threads in best:
            command = [sys.executable, __file__, "--alone", str(file), str(threads)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            best[threads] = min(best[threads], float(done.stdout.split()[-1]))
    return {
        "one_ms": round(best[1], 3),
        "two_ms": round(best[2], 3),
        "ratio": round(best[1] / best[2], 2),
    }


def alone(file: Path, threads: int) -> float:
    runner = quiet_session(str(file), threads, kernels=True)
    given = runner.get_inputs()[0]
    images = np.random.default_rng(0).standard_normal((1, *given.shape[1:])).astype(np.float32)
    times: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() < began + WARM_UP + SECONDS:
        start = time.perf_counter()
        runner.run(None, {given.name: images})
        if start > began + WARM_UP:
            times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
