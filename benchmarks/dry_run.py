"""What does a dry run cost beyond creating the model? The limit is half a second.

    python benchmarks/dry_run.py

In one process, for each model and mode: seconds to create the model with random weights, and seconds of the
dry run on it (tracing, choosing, swapping, verifying at batch 2 and 3, predicting the size), the median of
`REPEATS`. CPU seconds of the process stand beside wall seconds, for machines that others share. One JSON line
is added to benchmarks/results/dry_run.jsonl. Exits with 1 where a dry run takes longer than the limit.
"""

from __future__ import annotations

import statistics
import time

import torch
from result_lines import append

from binarize.exporting.size import packed_size
from binarize.rewrite import Options, SourceOptions, convert_float, open_float

LIMIT = 0.5  # seconds
REPEATS = 5
MODELS = ("resnet50", "vit_base_patch16_224", "efficientnet_b0")
MODES = {
    "W1A32": Options(),
    "W1A1 step": Options(activations="step"),
    "W1A1 sign bireal": Options(activations="sign", structure="bireal"),
}


def clocks() -> tuple[float, float]:
    """Wall and CPU seconds so far."""
    return time.perf_counter(), time.process_time()


def once(model: str, options: Options) -> dict[str, float]:
    """Seconds of creating `model`, and of a dry run on it."""
    begin = clocks()
    float_model = open_float(model, SourceOptions(pretrained=False))
    created = clocks()
    conversion = convert_float(float_model, options, values=False).conversion
    packed_size(conversion.model, conversion.trace)
    done = clocks()
    return {
        "create_wall": created[0] - begin[0],
        "create_cpu": created[1] - begin[1],
        "dry_run_wall": done[0] - created[0],
        "dry_run_cpu": done[1] - created[1],
    }


def measure(model: str, options: Options) -> dict[str, float]:
    """The medians, in seconds."""
    runs = [once(model, options) for _ in range(REPEATS)]
    return {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]}


def main() -> int:
    torch.set_num_threads(1)
    # What the first model of a process pays for imports.
    open_float("resnet18", SourceOptions(pretrained=False))
    measured = {
        model: {mode: measure(model, options) for mode, options in MODES.items()}
        for model in MODELS
    }
    for model, modes in measured.items():
        for mode, figures in modes.items():
            print(
                f"{figures['dry_run_wall']:.3f} s  (cpu {figures['dry_run_cpu']:.3f})  {model}, {mode}"
            )
    slowest = max(
        figures["dry_run_wall"] for modes in measured.values() for figures in modes.values()
    )
    result = {
        "question": "seconds of a dry run beyond creating the model, median in one process",
        "limit": LIMIT,
        "repeats": REPEATS,
        "seconds": measured,
    }
    append("dry_run", result)
    return int(slowest > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
