"""Which estimator leads where a network is fitted to its float parent in a few steps?

    python benchmarks/fit_estimators.py FLOAT_RUN [DATA_DIR] [--images 128] [--steps 20] [--n 2000]

FLOAT_RUN is a trained float network, of the digits, or with DATA_DIR (train.tar and test.tar, or folders) of
other images. Every estimator with its own constants, W1A32, one base, seeds 0, 1, 2, one budget: top-1 on
the test images (`--n` of them, evenly spread), and what the fit says of itself. One JSON line each is added
to benchmarks/results/fit_estimators.jsonl, where it is not there yet; `python docs/fitting.py` ranks them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from fitting_lines import Task, fit_figures, once, open_task, top1

import binarize
from binarize.estimators import TABLE

NAME = "fit_estimators"
SEEDS = (0, 1, 2)


def main() -> None:
    options = parse()
    task = open_task(options.run, options.data, options.n)
    budget = {"run": task.name, "images": options.images, "steps": options.steps, "n": task.n}
    for seed in SEEDS:
        for estimator in TABLE:
            key = budget | {"estimator": estimator, "seed": seed}
            once(NAME, key, lambda e=estimator, s=seed: fitted(task, options, e, s))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--n", type=int, default=2000)
    return parser.parse_args()


def fitted(task: Task, options: argparse.Namespace, estimator: str, seed: int) -> dict[str, Any]:
    model = binarize.convert(
        options.run,
        estimator=estimator,
        calib_data=task.calib_data,
        calib_images=options.images,
        calib_steps=options.steps,
        seed=seed,
    )
    return {"top1": top1(model, task.images, task.labels)} | fit_figures(model)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
