"""Is a packed file slower than its float twin for any network, batch size or number of threads?

    python benchmarks/kernel_models.py [MODEL ...] --cells [--against LIBRARY [--against-files FOLDER]]
                                       [--tier TIER] [--files FOLDER] [--batch N ...] [--threads N ...]
                                       [--beside]

A cell is a network of random weights at a batch size and a number of threads. In one process, and in
every round in turn, run onnxruntime's float32 of the float network and the packed files of W1A32 and W1A1
`step` with kernels, and with those of another library (`--against`, built from an older commit), on the
files that its commit wrote where `--against-files` names them. CPU time is the process's own, in which
another program on the machine does not count; wall time stands beside it with the load average. Threads do
not spin, or those of one session would take the time of the next. Numerics of the same sessions, over the
largest logit: of W1A32 the largest difference of a logit to torch's float64, beside that of stock
onnxruntime; of W1A1 that to stock onnxruntime.

Files are written to `--files`, and read from there if they are there: a folder for each state of the
exporter. One JSON line per cell is added to benchmarks/results/kernel_models.jsonl; a cell that is there
for the same files, libraries and tier is not measured again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from result_lines import RESULTS, append

import binarize
from binarize import kernels
from binarize.benching.baseline import export_float
from binarize.benching.int8 import quantise
from binarize.exporting.rounding import exact_copy, in_float64
from binarize.runtime.metadata import FileInfo
from binarize.runtime.session import metadata

NETWORKS = (
    "resnet18",
    "resnet50",
    "vit_base_patch16_224",
    "convnext_tiny",
    "cifar_resnet20",
    "mobilenetv3_small_100",
    "efficientnet_b0",
)
FLOAT, W1A32, W1A1 = "float", "w1a32", "w1a1-step"
MODES: dict[str, dict[str, Any]] = {W1A32: {}, W1A1: {"activations": "step"}}
INT8, EIGHT_BITS = "int8", "w1a32, 8 bits"
TRUTH = "truth.npz"
IMAGES = 2
"""Different ones, repeated in a larger batch."""
WARM_UP, LEAST, MOST = 2, 5, 60
"""Rounds."""
QUESTION = "whole networks with kernels, beside their float twins, by batch and threads"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--against", type=Path, metavar="LIBRARY", help="another library, for --cells"
    )
    parser.add_argument(
        "--against-files", type=Path, metavar="FOLDER", help="files for that library"
    )
    parser.add_argument(
        "--files", type=Path, metavar="FOLDER", help="where files are kept, for --cells"
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="for --cells")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="for --cells")
    parser.add_argument(
        "--beside", action="store_true", help="int8 and activations of 8 bits too, for --cells"
    )
    parser.add_argument("--seconds", type=float, default=10, help="of a cell, for --cells")


def main(given: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        files = given.files or Path(temporary)
        for name in given.models or NETWORKS:
            folder = made(name, files)
            before = (given.against_files or files) / name
            for batch in given.batch:
                for threads in given.threads:
                    cell(name, folder, before, batch, threads, given)
    return 0


def made(name: str, files: Path) -> Path:
    """The folder with the files of a network."""
    folder = files / name
    if (folder / TRUTH).exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for mode, options in MODES.items():
        torch.manual_seed(0)
        model = binarize.convert(name, pretrained=False, **options).eval()
        binarize.export(model, folder / f"{mode}.onnx")
        if mode == W1A32:
            images = torch.randn(IMAGES, 3, *model.binarize_info.preprocess.sides)
            with torch.no_grad():
                truth = in_float64(exact_copy(model), images).numpy()
    info: FileInfo = metadata(folder / f"{W1A32}.onnx")
    export_float(info, folder / f"{FLOAT}.onnx", folder / f"{W1A32}.onnx")
    np.savez(folder / TRUTH, images=images.numpy(), truth=truth)
    return folder


def cell(
    name: str, folder: Path, before: Path, batch: int, threads: int, given: argparse.Namespace
) -> None:
    library = Path(kernels.ort_library())
    arms = {FLOAT: (folder / f"{FLOAT}.onnx", None)}
    arms |= {mode: (folder / f"{mode}.onnx", library) for mode in MODES}
    if given.beside:
        if not (folder / f"{INT8}.onnx").exists():
            quantise(folder / f"{FLOAT}.onnx", folder / f"{INT8}.onnx")
        arms |= {INT8: (folder / f"{INT8}.onnx", None)}
        arms |= {EIGHT_BITS: (folder / f"{W1A32}.onnx", library)}
    if given.against:
        arms |= {f"{mode} before": (before / f"{mode}.onnx", given.against) for mode in MODES}
    key = {
        "question": QUESTION,
        "model": name,
        "batch": batch,
        "threads": threads,
        "tier": kernels.tier(),
        "files": {arm: digest(path) for arm, (path, _) in arms.items()},
        "libraries": [digest(one) for one in (library, given.against) if one],
    }
    if not given.dry and is_there(key):
        return
    with np.load(folder / TRUTH) as kept:
        images, truth = kept["images"], kept["truth"]
    feed = np.concatenate([images] * (-(-batch // IMAGES)))[:batch]
    runners = {}
    for arm, (path, library) in arms.items():
        os.environ["BINARIZE_ACTIVATION_BITS"] = "8" if arm == EIGHT_BITS else ""
        runners[arm] = session(path, threads, library)
    os.environ["BINARIZE_ACTIVATION_BITS"] = ""
    spent = rounds(runners, feed, given.seconds)
    results = {arm: summary(spent[FLOAT], times) for arm, times in spent.items()}
    for arm, off in numerics(arms, runners, feed, truth).items():
        results[arm]["diff"] = off
    words = ", ".join(
        f"{arm} {one['cpu_ms']:.2f} ms {one['cpu_ratio']:.2f}x (wall {one['wall_ratio']:.2f}x)"
        + (f" {one['diff']:.1e}" if "diff" in one else "")
        for arm, one in results.items()
    )
    load = os.getloadavg()[0]
    print(f"{name}, batch {batch}, threads {threads}, load {load:.1f}: {words}", flush=True)
    if not given.dry:
        append(
            "kernel_models", {**key, "load": load, "rounds": len(spent[FLOAT]), "cells": results}
        )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def is_there(key: dict[str, Any]) -> bool:
    lines = (RESULTS / "kernel_models.jsonl").read_text(encoding="utf-8").splitlines()
    return any(json.loads(line).items() >= key.items() for line in lines)


def session(path: Path, threads: int, library: Path | None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    if library is not None:
        options.register_custom_ops_library(str(library))
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def answer(runner: ort.InferenceSession, feed: np.ndarray) -> np.ndarray:
    return runner.run(None, {runner.get_inputs()[0].name: feed})[0]


def rounds(
    runners: dict[str, ort.InferenceSession], feed: np.ndarray, seconds: float
) -> dict[str, list[tuple[float, float]]]:
    """Arm -> (CPU, wall) seconds of each round. Who begins a round changes from one to the next."""
    names = list(runners)
    spent: dict[str, list[tuple[float, float]]] = {arm: [] for arm in names}
    end = None
    for number in range(WARM_UP + MOST):
        if number == WARM_UP:
            end = time.perf_counter() + seconds
        if end and number >= WARM_UP + LEAST and time.perf_counter() > end:
            break
        for place in range(len(names)):
            arm = names[(place + number) % len(names)]
            wall, cpu = time.perf_counter(), time.process_time()
            answer(runners[arm], feed)
            if number >= WARM_UP:
                spent[arm].append((time.process_time() - cpu, time.perf_counter() - wall))
    return spent


def summary(
    float32: list[tuple[float, float]], times: list[tuple[float, float]]
) -> dict[str, float]:
    """Medians, and medians of the ratios within a round: above 1 is faster than float."""
    found = {}
    for index, kind in enumerate(("cpu", "wall")):
        found[f"{kind}_ms"] = round(1e3 * statistics.median(one[index] for one in times), 3)
        ratios = (base[index] / one[index] for base, one in zip(float32, times, strict=True))
        found[f"{kind}_ratio"] = round(statistics.median(ratios), 3)
    return found


def numerics(
    arms: dict[str, tuple[Path, Path | None]],
    runners: dict[str, ort.InferenceSession],
    feed: np.ndarray,
    truth: np.ndarray,
) -> dict[str, float]:
    """Arm -> largest difference over the largest logit; as that of float, stock onnxruntime's of W1A32."""
    stock = {mode: session(arms[mode][0], 1, None) for mode in MODES}
    reference = {W1A32: truth, W1A1: answer(stock[W1A1], feed[:IMAGES])}

    def off(runner: ort.InferenceSession, mode: str) -> float:
        given, right = answer(runner, feed)[:IMAGES], reference[mode]
        right = right[: len(given)]
        return float(np.abs(given - right).max() / np.abs(right).max())

    found = {FLOAT: off(stock[W1A32], W1A32)}
    for arm in arms:
        mode = W1A32 if arm == EIGHT_BITS else arm.removesuffix(" before")
        if mode in MODES:
            found[arm] = off(runners[arm], mode)
    return found
