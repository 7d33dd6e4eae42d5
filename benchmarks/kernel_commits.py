"""How much faster are layers and networks with binary inputs than with the kernels of earlier commits?

    python benchmarks/kernel_commits.py COMMIT ... [--subjects NAME ...] [--rounds N] [--tier TIER]

Builds the kernel library of each commit from this repository's history, and runs each subject with every one
of them and as float in stock onnxruntime, in turn, in one process, with one thread and batch 1. Subjects are
layers of one node (float in and out, `Step`) and networks with random weights (`activations: step`); what is
float is the same with float inputs. Printed: the least CPU time of each, and float's over it; all commits
must give the same values. Adds a JSON line to benchmarks/results/kernel_commits.jsonl.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from kernel_layers import node
from old_library import build
from result_lines import append

import binarize

LAYERS = {
    # name: outputs, channels, kernel, size of the image or minus the rows of a linear layer
    "3x3 64x56x56": (64, 64, 3, 56),
    "3x3 128x28x28": (128, 128, 3, 28),
    "3x3 256x14x14": (256, 256, 3, 14),
    "3x3 512x7x7": (512, 512, 3, 7),
    "3x3 16x32x32": (16, 16, 3, 32),
    "1x1 64x56x56 to 256": (256, 64, 1, 56),
    "1x1 256x56x56 to 64": (64, 256, 1, 56),
    "1x1 1024x14x14 to 256": (256, 1024, 1, 14),
    "1x1 512x7x7 to 2048": (2048, 512, 1, 7),
    "1x1 16x112x112 to 96": (96, 16, 1, 112),
    "1x1 16x56x56 to 72": (72, 16, 1, 56),
    "1x1 24x28x28 to 88": (88, 24, 1, 28),
    "1x1 96x56x56 to 24": (24, 96, 1, 56),
    "1x1 240x14x14 to 40": (40, 240, 1, 14),
    "1x1 40x14x14 to 240": (240, 40, 1, 14),
    "1x1 576x1x1 to 1024": (1024, 576, 1, 1),
    "linear 768 to 3072, 197 rows": (3072, 768, 1, -197),
}
NETWORKS = ("cifar_resnet20", "mobilenetv3_small_100", "efficientnet_b0", "resnet18")
WARM_UP = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("commits", nargs="+", metavar="COMMIT")
    parser.add_argument("--subjects", nargs="*", default=[*LAYERS, *NETWORKS], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--tier", help="what BINARIZE_TIER is set to")
    given = parser.parse_args()
    if given.tier:
        os.environ["BINARIZE_TIER"] = given.tier
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        libraries = {}
        for commit in given.commits:
            (folder / commit).mkdir()
            libraries[commit] = build(commit, folder / commit)
        found = {}
        for subject in given.subjects:
            make = layer if subject in LAYERS else network
            found[subject] = compare(subject, *make(subject, folder), libraries, given.rounds)
    line = {"question": "least CPU time of W1A1, us, by the kernels of commits", "tier": given.tier}
    append("kernel_commits", {**line, "rounds": given.rounds, "subjects": found})


def layer(name: str, _: Path) -> tuple[bytes, bytes]:
    """The file with float inputs and the one with binary ones."""
    outputs, channels, kernel, size = LAYERS[name]
    product = "Linear" if size < 0 else "Conv"
    shape = (outputs, channels) if size < 0 else (outputs, channels, kernel, kernel)
    signs = np.random.default_rng(0).random(shape) < 0.5
    a, b = (node(f"{step}Binary{product}", signs, 1, kernel // 2) for step in ("", "Step"))
    return a, b


def network(name: str, folder: Path) -> tuple[bytes, bytes]:
    files = []
    for options in ({}, {"activations": "step"}):
        files.append(folder / f"{name}-{len(files)}.onnx")
        binarize.export(binarize.convert(name, pretrained=False, **options), files[-1])
    return files[0].read_bytes(), files[1].read_bytes()


def session(file: bytes, library: Path | None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if library is not None:
        options.register_custom_ops_library(str(library))
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def compare(
    name: str, plain: bytes, binary: bytes, libraries: dict[str, Path], rounds: int
) -> dict[str, float]:
    variants = {"float": session(plain, None)}
    variants |= {commit: session(binary, library) for commit, library in libraries.items()}
    given = variants["float"].get_inputs()[0]
    if name in LAYERS:
        _, channels, _, size = LAYERS[name]
        shape = (-size, channels) if size < 0 else (1, channels, size, size)
    else:
        shape = (1, *given.shape[1:])
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    answers = [variants[commit].run(None, {given.name: x})[0] for commit in libraries]
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], rtol=0, atol=1e-5 * np.abs(answer).max())
    least = dict.fromkeys(variants, float("inf"))
    for number in range(WARM_UP + rounds):
        for variant, runner in variants.items():
            began = time.thread_time()
            runner.run(None, {given.name: x})
            if number >= WARM_UP:
                least[variant] = min(least[variant], time.thread_time() - began)
    words = (f"{v} {1e6 * t:.0f} us ({least['float'] / t:.2f}x)" for v, t in least.items())
    print(f"{name}: {', '.join(words)}", flush=True)
    return {variant: round(1e6 * seconds, 1) for variant, seconds in least.items()}


if __name__ == "__main__":
    main()
