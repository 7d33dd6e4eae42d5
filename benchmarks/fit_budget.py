"""How does the accuracy of a fitted network grow with images and steps?

    python benchmarks/fit_budget.py FLOAT_RUN [DATA_DIR] [--bases 1,2] [--images 64,256] [--steps 30,120]

FLOAT_RUN is a trained float network, of the digits, or with DATA_DIR (train.tar and test.tar, or folders) of
other images. For every pair of images and steps, the cheapest first, W1A32: top-1 on `--n` test images,
evenly spread, seed 0. One JSON line each is added to benchmarks/results/fit_budget.jsonl, where it is not
there yet; `python docs/fitting.py` draws them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from fitting_lines import Task, fit_figures, once, open_task, top1

import binarize

NAME = "fit_budget"
IMAGES = [64, 256, 1024, 4096]
STEPS = [30, 120, 300, 1000]


def main() -> None:
    options = parse()
    task = open_task(options.run, options.data, options.n)
    common = {"run": task.name, "n": task.n}
    once(NAME, common | {"bases": None}, lambda: {"top1": task.top1_of_float()})
    pairs = [(steps, images) for steps in options.steps for images in options.images]
    for steps, images in sorted(pairs, key=lambda pair: pair[0] * 32 * 3 + pair[1]):
        for bases in options.bases:
            key = common | {"bases": bases, "images": images, "steps": steps}
            once(NAME, key, lambda b=bases, i=images, s=steps: fitted(options.run, task, b, i, s))


def parse() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--bases", type=numbers, default=[1, 2])
    parser.add_argument("--images", type=numbers, default=IMAGES)
    parser.add_argument("--steps", type=numbers, default=STEPS)
    parser.add_argument("--n", type=int, default=2000)
    return parser.parse_args()


def fitted(run: Path, task: Task, bases: int, images: int, steps: int) -> dict[str, Any]:
    model = binarize.convert(
        run, bases=bases, calib_data=task.calib_data, calib_images=images, calib_steps=steps
    )
    return {"top1": top1(model, task.images, task.labels)} | fit_figures(model)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
