"""What does a training step of a binary network cost against one of the float network?

    python benchmarks/train_step.py
    python benchmarks/train_step.py --model cifar_resnet18 --variants "float,w1a32 ste" --rounds 5

The variants of `train_step_variants.RECIPES`, for each model and device, in one process: in every round each
variant makes one step in turn, so that whatever else the machine does hits all of them. Batch 64,
channels_last, bf16 autocast, SGD with momentum, two CPU threads, images of noise. Printed: the median and the
10th and 90th percentile of the seconds, the ratio to the float variant (the median of the ratios within a
round), and the peak of memory. Exits with 1 where a variant takes more than its limit.

Peak memory: bytes held between steps (weights, momentum, batch) plus the most that a step adds to them. On
a GPU that is torch.cuda.max_memory_allocated. On a CPU each variant has a process of its own, which makes
WARM_UP steps, sets VmHWM of /proc/self/status back to what is resident then, and reads after more steps how
far it has risen. All blocks of 64 KiB or more are mappings of their own there (glibc's
MALLOC_MMAP_THRESHOLD_), so that what is freed is gone.

Brevitas wants an older setuptools than torch has; it goes beside the environment, not into it:

    pip install --no-deps --target DIR brevitas dependencies==2.0.1 unfoldNd "setuptools<81"
    PYTHONPATH=DIR python benchmarks/train_step.py

One JSON line a model and device is added to benchmarks/results/train_step.jsonl.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from result_lines import append
from torch import Tensor
from train_step_variants import RECIPES, Variant, available, binary_layers

MODELS = {"resnet18": 224, "cifar_resnet18": 32}
"""Model -> pixels of its images along a side."""
CLASSES = 10  # fewer than either network has
THREADS = 2
WARM_UP = 4  # a compiled step is compiled twice: for the first progress, then for any
MEMORY_STEPS = 2


def main() -> int:
    options = parse()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print(json.dumps(peak_on_cpu(options)))
        return 0
    done = [
        measure(model, device, options)
        for device in options.device.split(",")
        for model in options.model.split(",")
    ]
    return int(not all(done))


def parse() -> argparse.Namespace:
    devices = "cpu,cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=",".join(MODELS))
    parser.add_argument("--device", default=devices)
    parser.add_argument("--arms", default=",".join(RECIPES))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--no-memory", action="store_true", help="measure time alone")
    parser.add_argument("--dry", action="store_true", help="print only, write no line")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(model: str, device: str, options: argparse.Namespace) -> bool:
    """Measure, print and write one model on one device. Returns whether all limits hold."""
    names = list(available(options.variants.split(",")))
    seconds = time_arms(names, model, device, options)
    figures = {name: summary(name, seconds) for name in names}
    if not options.no_memory:
        for name, peak in peaks(names, model, device, options).items():
            figures[name]["peak_mib"] = round(peak / 2**20, 1)
    print_table(model, device, figures, options)
    if not options.dry:
        write(model, device, figures, options)
    return all(holds(name, figures) for name in names)


def time_arms(
    names: list[str], model: str, device: str, options: argparse.Namespace
) -> dict[str, list[float]]:
    """Seconds of each variant's steps, the variants taking turns."""
    variants = {name: Variant(name, model, batch(model, device, options.batch)) for name in names}
    for name, variant in variants.items():
        began = time.perf_counter()
        for _ in range(WARM_UP):
            variant.step()
        print(f"  {name}: ready in {time.perf_counter() - began:.1f} s", file=sys.stderr)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name, variant in variants.items():
            synchronise(device)
            began = time.perf_counter()
            variant.step()
            synchronise(device)
            seconds[name].append(time.perf_counter() - began)
    return seconds


def batch(model: str, device: str, size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, MODELS[model], MODELS[model], generator=generator)
    labels = torch.randint(CLASSES, (size,), generator=generator)
    return images.to(device, memory_format=torch.channels_last), labels.to(device)


def synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def summary(name: str, seconds: dict[str, list[float]]) -> dict[str, float]:
    """Median, p10 and p90 of a variant's seconds, and the ratio to the variant that it is compared with."""
    mine, other = np.array(seconds[name]), seconds.get(RECIPES[name].against)
    low, middle, high = np.percentile(mine, (10, 50, 90))
    figures = {"median_s": middle, "p10_s": low, "p90_s": high}
    if other is not None:
        figures["ratio"] = np.median(mine / np.array(other))
    return {key: round(float(value), 5) for key, value in figures.items()}


def peaks(names: list[str], model: str, device: str, options: argparse.Namespace) -> dict[str, int]:
    """Bytes at the peak of each variant's step."""
    if device == "cpu":
        return {name: _peak_in_a_process(name, model, options) for name in names}
    return {name: peak_on_gpu(name, model, device, options.batch) for name in names}


def peak_on_gpu(name: str, model: str, device: str, size: int) -> int:
    gc.collect()
    before = torch.cuda.memory_allocated()
    variant = Variant(name, model, batch(model, device, size))
    for _ in range(WARM_UP):
        variant.step()
    torch.cuda.reset_peak_memory_stats()
    for _ in range(MEMORY_STEPS):
        variant.step()
    return torch.cuda.max_memory_allocated() - before


def _peak_in_a_process(name: str, model: str, options: argparse.Namespace) -> int:
    command = [sys.executable, __file__, "--memory-of", name, "--model", model]
    command += ["--batch", str(options.batch), "--threads", str(options.threads)]
    environ = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 16)}
    done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def peak_on_cpu(options: argparse.Namespace) -> int:
    """What `_peak_in_a_process` runs."""
    variant = Variant(options.memory_of, options.model, batch(options.model, "cpu", options.batch))
    for _ in range(WARM_UP):
        variant.step()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM := VmRSS
    resting = resident("HWM")
    for _ in range(MEMORY_STEPS):
        variant.step()
    return variant.held() + resident("HWM") - resting


def resident(which: str) -> int:
    """Bytes of /proc/self/status: RSS, or HWM, its highest value so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"Vm{which}:"))


def holds(name: str, figures: dict[str, dict[str, float]]) -> bool:
    """Whether a variant keeps within its limits, where there is something to hold it against."""
    recipe, mine = RECIPES[name], figures[name]
    ratios = (mine.get("ratio"), recipe.limit), (memory_ratio(name, figures), recipe.memory)
    within = all(x is None or limit is None or x <= limit for x, limit in ratios)
    rivals = [figures[other]["median_s"] for other in figures if RECIPES[other].brevitas]
    races = recipe.options is not None and not recipe.options.binary_inputs and not recipe.compiled
    return within and (not races or not rivals or mine["median_s"] <= min(rivals))


def memory_ratio(name: str, figures: dict[str, dict[str, float]]) -> float | None:
    other = figures.get(RECIPES[name].against, {}).get("peak_mib")
    return round(figures[name]["peak_mib"] / other, 3) if other else None


def print_table(
    model: str, device: str, figures: dict[str, dict[str, float]], options: argparse.Namespace
) -> None:
    print(f"{model}, {MODELS[model]} px, batch {options.batch}, {device}: ms a step", end="")
    print(f", {options.rounds} rounds; {binary_layers(model)} binary layers")
    head = ("arm", "median", "p10", "p90", "ratio", "limit", "MiB", "ratio", "limit", "")
    line = "{:24}{:>9}{:>9}{:>9}{:>8}{:>7}{:>9}{:>8}{:>7}  {}"
    print(line.format(*head))
    for name, figure in figures.items():
        recipe = RECIPES[name]
        spans = [f"{1000 * figure[key]:.1f}" for key in ("median_s", "p10_s", "p90_s")]
        ratio = f"{figure['ratio']:.3f}" if "ratio" in figure else ""
        memory = figure.get("peak_mib", ""), memory_ratio(name, figures) or ""
        verdict = "" if holds(name, figures) else "over"
        limits = recipe.limit or "", recipe.memory or ""
        print(line.format(name, *spans, ratio, limits[0], *memory, limits[1], verdict))
    print("W1A32 is also to be no slower than the quickest Brevitas variant.\n")


def write(
    model: str, device: str, figures: dict[str, dict[str, float]], options: argparse.Namespace
) -> None:
    result = {
        "question": "seconds and peak memory of a training step, against the float model's",
        "model": model,
        "image": MODELS[model],
        "batch": options.batch,
        "rounds": options.rounds,
        "device": device if device == "cpu" else torch.cuda.get_device_name(device),
        "arms": figures,
        "threads": options.threads,
        "versions": _brevitas(),
    }
    append("train_step", result)


def _brevitas() -> dict[str, str]:
    try:
        return {"brevitas": metadata.version("brevitas")}
    except metadata.PackageNotFoundError:
        return {}


if __name__ == "__main__":
    raise SystemExit(main())
