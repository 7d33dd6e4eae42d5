"""Write docs/performance.md from the lines of the benchmarks: `python docs/performance.py`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from binarize.run import write_text

PAGE = Path(__file__).with_suffix(".md")
RESULTS = PAGE.parents[1] / "benchmarks" / "results"
PACKAGES = ("python", "onnxruntime", "torch")

TEXT = """\
# How fast

This page is written by `python docs/performance.py` from the last lines of the benchmarks in
`benchmarks/results/`. All times are of one image (or row), and of one thread where nothing else is said;
ratios are medians of the ratios within interleaved rounds, so more than 1x is faster than onnxruntime's
float32.

## Single layers

`python benchmarks/kernel_layers.py`. Float NCHW (or rows) in and out. The float layer is the same file in
stock onnxruntime. {layers_measured}

{layers}

## Whole networks

`python benchmarks/kernel_models.py`. Random weights, each network at its own image size, batch 1.
{models_measured}

{models}

Exactness of the W1A32 files: the largest difference of a logit to torch's float64, over the largest logit.

{exactness}

Two threads: the best of three processes for each number of threads, with onnxruntime's own settings.

{threads}

## Seven networks by batch and threads

`python benchmarks/kernel_models.py --cells --beside`, with the best tier of the CPU. CPU time, which another
program on the machine does not count in: float32 in milliseconds, the others as so many times faster than it.
int8: onnxruntime's static quantisation of the float network. 8 bits: the W1A32 file with
`BINARIZE_ACTIVATION_BITS=8`, and what that does to a logit of random weights, over the largest. W1A32 off:
its own difference from torch's float64. {cells_measured}

{cells}

## Beside other runtimes

`python benchmarks/peers.py`. ResNet-18, one image, one thread. {peers_measured}

{peers}

## Sessions

`python benchmarks/session_creation.py`: CPU seconds to make a session of a W1A32 file in stock onnxruntime,
without kernels. {sessions_measured}

{sessions}

With kernels, see "load" above.

## A training step

`python benchmarks/train_step.py`. Batch 64, channels_last, bfloat16, SGD, two threads, images of noise; time
and peak memory over those of the float network in the same run. Brevitas: its 1-bit weights in the same
layers, with a constant scale and with mean |w| per channel, which is what W1A32 has. {steps_measured}

{steps}

## Where binarize loses

- The CPU of these figures has no AMX. Its float32 multiply-adds are as fast as the additions of
  its look-ups, so W1A32 cannot be more than 3.9 times as fast as a perfect float32 layer (decision 13); the
  figures of the design, 4.5 to 7 times, are of AMX, whose tier is not measured (decision 16).
- A ResNet's first convolution is float: with a third of the products (decision 14) it still takes 1.1 of the
  4 ms of a W1A1 ResNet-18. With `--structure bireal` it has no ReLU and stays Conv, which takes 2.1.
- On a CPU with AVX2 alone W1A32 gains least: nothing for networks of small layers, which onnxruntime computes
  (decision 26), and less than int8 for CNNs. Beside a busy second core a W1A32 ResNet-18 took 36 ms
  instead of 24, and float32 48 instead of 42 (timed by hand, 2026-12-01, the machine of that table).
- 1x1 convolutions with few outputs build tables that few outputs use.
- Linear layers of one row, W1A32: from 768 to 3072, look-ups alone take 14 µs and the whole product 17 in
  warm caches, a run of the session by itself 24, and one that alternates with other sessions what the table
  says (timed by hand, 2026-11-22, the same machine).
- `python benchmarks/session_creation.py`: in a process that has made sessions before, stock onnxruntime
  takes longer for a packed file than for the float model, twice as long for ViT-B; in a fresh one it does
  not.
- The native form saves the floats between layers, while popcounts are most of a 3x3 layer (decision 17).
"""


def main() -> None:
    write_text(PAGE, page())


def page() -> str:
    """The text of docs/performance.md."""
    by_tier = {line["tier"]: line for line in lines("kernel_layers")}
    whole = [line for line in lines("kernel_models") if "results" in line]  # else: network_cells
    models = list({(line["model"], line["tier"]): line for line in whole}.values())
    cells = newest_cells()
    peers = lines("peers")[-1]
    sessions = list({line["model"]: line for line in lines("session_creation")}.values())
    steps = lines("train_step")
    return TEXT.format(
        layers_measured=measured(by_tier.values()),
        layers=layers(by_tier),
        models_measured=measured(models),
        models=networks(models),
        exactness=exactness(models),
        threads=threads(models),
        cells_measured=measured(cells),
        cells=cells_tables(cells),
        peers_measured=measured([peers]),
        peers=peers_table(peers),
        sessions_measured=measured(sessions),
        sessions=sessions_table(sessions),
        steps_measured=measured(steps, packages=("python", "torch")),
        steps=steps_table(steps),
    )


def lines(name: str) -> list[dict[str, Any]]:
    """The lines of a benchmark, oldest first."""
    text = (RESULTS / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def measured(used: Iterable[dict[str, Any]], packages: Sequence[str] = PACKAGES) -> str:
    """Date, machine and versions, in words."""
    words = {
        f"{line['date']}, {line['cpu']}, "
        + ", ".join(f"{name} {line['versions'][name]}" for name in packages)
        for line in used
    }
    return "Measured " + "; ".join(sorted(words)) + "."


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in cells)


def layers(by_tier: dict[str, dict[str, Any]]) -> str:
    head = ["layer", "float µs"]
    head += [f"{mode}, {tier}" for tier in by_tier for mode in ("W1A32", "W1A1")]
    head += ["best MatMulNBits"]
    first = next(iter(by_tier.values()))["layers"]
    rows = []
    for name, variants in first.items():
        row: list[object] = [name, f"{variants['float']['us']:.0f}"]
        for line in by_tier.values():
            row += [cell(line["layers"][name][mode]) for mode in ("W1A32", "W1A1")]
        others = [one for kind, one in variants.items() if kind.startswith("MatMulNBits")]
        row.append(cell(max(others, key=lambda one: one["ratio"])) if others else "")
        rows.append(row)
    return table(head, rows)


def cell(measured: dict[str, float]) -> str:
    return f"{measured['us']:.0f} µs, {measured['ratio']:.1f}x"


def networks(models: list[dict[str, Any]]) -> str:
    head = [
        "network",
        "file",
        "in",
        "tier",
        "ms",
        "p10-p90",
        "faster than float",
        "load ms",
        "peak MB",
        "bytes",
    ]
    rows = []
    for line in models:
        for one in line["results"]:
            where = "kernels" if one["kernels"] else "onnxruntime"
            rows.append(
                [
                    line["model"],
                    one["form"] if one["form"].startswith("float") else one["file"],
                    where,
                    line["tier"] if one["kernels"] else "",
                    f"{one['median_ms']:.2f}",
                    f"{one['p10_ms']:.2f}-{one['p90_ms']:.2f}",
                    f"{1 / one['ratio_to_float']:.2f}x",
                    f"{one['load_ms']:.0f}",
                    "" if one["peak_mb"] is None else f"{one['peak_mb']:.0f}",
                    f"{one['bytes']:,}",
                ]
            )
    return table(head, rows)


def newest_cells() -> list[dict[str, Any]]:
    """The last line of each tier, network, batch size and number of threads (network_cells)."""
    keys = ("tier", "model", "batch", "threads")
    found = {
        tuple(line[key] for key in keys): line
        for line in lines("kernel_models")
        if "int8" in line.get("cells", ())
    }
    return list(found.values())


def cells_tables(cells: list[dict[str, Any]]) -> str:
    """A table for each tier."""
    head = ["network", "batch", "threads", "float ms", "W1A32", "W1A1", "int8", "8 bits"]
    head += ["W1A32 off", "8 bits off"]
    arms = ("w1a32", "w1a1-step", "int8", "w1a32, 8 bits")
    parts = []
    for tier in dict.fromkeys(line["tier"] for line in cells):
        rows = []
        for line in cells:
            if line["tier"] != tier:
                continue
            found = line["cells"]
            rows.append(
                [
                    *(line[key] for key in ("model", "batch", "threads")),
                    f"{found['float']['cpu_ms']:.1f}",
                    *(f"{found[arm]['cpu_ratio']:.2f}x" for arm in arms),
                    *(f"{found[arm]['diff']:.0e}" for arm in ("w1a32", "w1a32, 8 bits")),
                ]
            )
        parts.append(f"Tier `{tier}`:\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def exactness(models: list[dict[str, Any]]) -> str:
    rows = [
        [
            line["model"],
            *(f"{line['exactness'][where]:.1e}" for where in ("kernels", "onnxruntime")),
        ]
        for line in models
    ]
    return table(["network", "kernels", "stock onnxruntime"], rows)


def threads(models: list[dict[str, Any]]) -> str:
    rows = [
        [
            line["model"],
            mode,
            f"{one['one_ms']:.2f}",
            f"{one['two_ms']:.2f}",
            f"{one['ratio']:.2f}x",
        ]
        for line in models
        for mode, one in line["two_threads"].items()
    ]
    return table(["network", "file", "one thread, ms", "two threads, ms", "faster"], rows)


def peers_table(line: dict[str, Any]) -> str:
    rows = [
        [name, f"{one['median_ms']:.2f}", f"{1 / one['ratio_to_float']:.2f}x"]
        for name, one in sorted(line["arms"].items(), key=lambda item: item[1]["median_ms"])
    ]
    return table(["runtime and file", "ms", "faster than onnxruntime float32"], rows)


def sessions_table(found: list[dict[str, Any]]) -> str:
    rows = []
    for line in found:
        for when, seconds in line["seconds"].items():
            words = "first of a process" if when == "fresh" else "later ones"
            packed, plain = seconds["packed"], seconds["float"]
            rows.append(
                [line["model"], words, f"{plain:.3f}", f"{packed:.3f}", f"{packed / plain:.2f}x"]
            )
    return table(["network", "session", "float", "packed", "packed over float"], rows)


def steps_table(found: list[dict[str, Any]]) -> str:
    """The last figures of every variant; one is compared with another of its own run."""
    rows: dict[tuple[str, str], list[str]] = {}
    for line in found:
        variants, size = line["arms"], f"{line['model']}, {line['image']} px"
        for name, variant in variants.items():
            against = "float compiled" if name.endswith("compiled") else "float"
            if name == against or against not in variants:
                continue
            cells = [f"{variant['ratio']:.3f}x", ""]
            if "peak_mib" in variant:
                cells[1] = f"{variant['peak_mib'] / variants[against]['peak_mib']:.3f}x"
            rows[size, name] = [size, name, against, *cells]
    return table(["network", "variant", "against", "time", "memory"], rows.values())


if __name__ == "__main__":
    main()
