"""How fast is a binary ResNet-18 beside other runtimes, and beside other ways to make it small?

    python benchmarks/peers.py
    python benchmarks/peers.py --openvino DIR --larq DIR --threads 2

In every round each variant runs once in turn, each in a process of its own (peers_worker.py):

- the float model in onnxruntime and OpenVINO (float32, bfloat16), and in int8 (onnxruntime's static
  quantisation, a file that both run; OpenVINO's own comes with NNCF, which is not asked);
- our packed files with binary weights (W1A32), and with binary inputs too (W1A1: `--activations sign
  --structure bireal`), in stock onnxruntime and with the binarize kernels;
- two peers with kernels for bits: OpenVINO's BinaryConvolution and Larq Compute Engine. Neither takes our
  packed file (OpenVINO refuses the functions in it), so both get a Bi-Real-Net-18 of their own layers with
  random weights: as many binary convolutions, float downsamples, stem and classifier; Larq pads with ones.

Larq's engine is made for ARM; on x86 its binary kernels are its portable ones. Its file is converted by
TensorFlow, which is imported in its process alone.

The peers go beside the environment, not into it; one that is absent is skipped:

    pip install --no-deps --target DIR openvino openvino-telemetry
    pip install --target DIR "tensorflow-cpu<2.17" larq larq-compute-engine tf-keras "setuptools<81"

The second DIR cannot stand on PYTHONPATH, because of its older numpy: hence --larq and, alike, --openvino.

A turn is a run that is not timed and one that is. Printed: median, 10th and 90th percentile of the
milliseconds, the median of the rounds' ratios to onnxruntime's float32. One JSON line a run is added to
benchmarks/results/peers.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from result_lines import append

import binarize
from binarize import environment
from binarize.benching.baseline import export_float
from binarize.benching.int8 import quantise
from binarize.kernels import installed
from binarize.runtime import metadata

MODEL = "resnet18"
WORKER = Path(__file__).with_name("peers_worker.py")
ARMS = {
    "onnxruntime float32": ("onnxruntime", "float"),
    "onnxruntime int8": ("onnxruntime", "int8"),
    "openvino float32": ("openvino", "float"),
    "openvino bfloat16": ("openvino-bf16", "float"),
    "openvino int8": ("openvino", "int8"),
    "openvino binary": ("openvino-binary", None),
    "larq compute engine": ("larq", None),
    "packed w1a32": ("onnxruntime", "w1a32"),
    "packed w1a32, kernels": ("kernels", "w1a32"),
    "packed w1a1": ("onnxruntime", "w1a1"),
    "packed w1a1, kernels": ("kernels", "w1a1"),
}
"""Arm -> kind of peers_worker.py, file."""
FLOAT = next(iter(ARMS))


@dataclass
class Worker:
    """The process of a variant, ready to run; `versions` of what runs there."""

    process: subprocess.Popen
    versions: dict[str, str]

    def seconds(self) -> float:
        """One turn."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def main() -> None:
    options = parse()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = write_files(folder)
        sizes = {name: path.stat().st_size for name, path in files.items()}
        workers: dict[str, Worker] = {}
        for variant, (kind, file) in ARMS.items():
            if kind == "kernels" and installed() is None:
                print(f"skipped {variant}: this installation has no kernels", file=sys.stderr)
                continue
            worker = stack.enter_context(start(variant, kind, files.get(file), options))
            if worker is not None:
                workers[variant] = worker
        seconds = take_turns(workers, options.rounds)
    figures = {variant: summary(seconds[variant], seconds[FLOAT]) for variant in workers}
    for variant, (_, file) in ARMS.items():
        if variant in figures and file:
            figures[variant]["bytes"] = sizes[file]
    print_table(figures, options)
    if not options.dry:
        versions = {name: v for one in workers.values() for name, v in one.versions.items()}
        write(figures, versions, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--openvino", metavar="DIR", help="where openvino was installed")
    parser.add_argument("--larq", metavar="DIR", help="where larq-compute-engine was installed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--dry", action="store_true", help="print only, write no line")
    return parser.parse_args()


def write_files(folder: Path) -> dict[str, Path]:
    """The ONNX files that are run, with random weights."""
    files = {name: folder / f"{name}.onnx" for name in ("w1a32", "w1a1", "float", "int8")}
    options = {"w1a32": {}, "w1a1": {"activations": "sign", "structure": "bireal"}}
    for name, mode in options.items():
        print(f"exporting {name}", file=sys.stderr)
        binarize.export(binarize.convert(MODEL, pretrained=False, **mode), files[name])
    print("exporting float and int8", file=sys.stderr)
    export_float(metadata(files["w1a32"]), files["float"])
    quantise(files["float"], files["int8"])
    return files


@contextmanager
def start(
    variant: str, kind: str, file: Path | None, options: argparse.Namespace
) -> Iterator[Worker | None]:
    """A worker that is ready, and ends with the block; None, said in a sentence, where it cannot run."""
    words = [kind, str(file), str(options.threads), str(options.batch)]
    process = subprocess.Popen(
        [sys.executable, str(WORKER), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environ(kind, options),
    )
    try:
        said = json.loads(process.stdout.readline() or '{"absent": "its process ended at once"}')
        if "absent" in said:
            print(f"skipped {variant}: {said['absent']}", file=sys.stderr)
        else:
            print(f"{variant}: ready", file=sys.stderr)
        yield Worker(process, said["versions"]) if "versions" in said else None
    finally:
        process.stdin.close()
        process.wait()


def environ(kind: str, options: argparse.Namespace) -> dict[str, str]:
    """With the peer's directory first on PYTHONPATH, where it has one."""
    place = {"openvino": options.openvino, "larq": options.larq}.get(kind.partition("-")[0])
    paths = [path for path in (place, os.environ.get("PYTHONPATH")) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def take_turns(workers: dict[str, Worker], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each variant's rounds; who begins moves on by one a round."""
    variants = list(workers)
    seconds = {variant: np.zeros(rounds) for variant in variants}
    for number in range(rounds):
        first = number % len(variants)
        for variant in variants[first:] + variants[:first]:
            seconds[variant][number] = workers[variant].seconds()
    return seconds


def summary(mine: np.ndarray, floats: np.ndarray) -> dict[str, float]:
    low, middle, high = 1000 * np.percentile(mine, (10, 50, 90))
    figures = {"median_ms": middle, "p10_ms": low, "p90_ms": high}
    figures["ratio_to_float"] = np.median(mine / floats)
    return {key: round(float(value), 4) for key, value in figures.items()}


def print_table(figures: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    print(f"{MODEL}, batch {options.batch}, threads {options.threads}, {options.rounds} rounds: ms")
    line = "{:24}{:>9}{:>9}{:>9}{:>8}{:>12}"
    print(line.format("arm", "median", "p10", "p90", "ratio", "bytes"))
    for variant, one in figures.items():
        spans = [f"{one[key]:.2f}" for key in ("median_ms", "p10_ms", "p90_ms")]
        size = f"{one['bytes']:,}" if "bytes" in one else ""
        print(line.format(variant, *spans, f"{one['ratio_to_float']:.3f}", size))


def write(
    figures: dict[str, dict[str, float]], versions: dict[str, str], options: argparse.Namespace
) -> None:
    result = {
        "question": "milliseconds of a run of ResNet-18, beside other runtimes",
        "model": MODEL,
        "batch": options.batch,
        "threads": options.threads,
        "rounds": options.rounds,
        "arms": figures,
        "cpu_features": environment.machine()["cpu_features"],
        "versions": versions,
    }
    append("peers", result)


if __name__ == "__main__":
    main()
