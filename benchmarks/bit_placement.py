"""Bits by sensitivity, one number of bases for all layers, or kept layers: which is best at equal bytes?

    python benchmarks/bit_placement.py FLOAT_RUN [DATA_DIR] [--sizes 73kB,92kB] [--seeds 0,1]

FLOAT_RUN is a trained float network, of the digits, or with DATA_DIR (train.tar and test.tar, or folders)
of other images. At each size of packed file (by default those of 1.5, 2 and 3 bases everywhere) three
networks are fitted to it with the same images and steps:

    size      `binarize.convert(…, size=…)`
    uniform   the most bases for all layers whose file is no larger
    keep      1 base, and float layers, the most sensitive first (`binarize.sensitivity`), that fit in

One JSON line each is added to benchmarks/results/bit_placement.jsonl, where it is not there yet: bytes of
the file that `export` writes, top-1 on `--n` test images, and how many are answered as by the float network.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from fitting_lines import TEST_BATCH, Task, fit_figures, once, open_task, top1
from torch import nn

import binarize
from binarize.choices import MOST_BASES
from binarize.exporting import packed_file_bytes
from binarize.filesize import bytes_of

NAME = "bit_placement"
METHODS = ("size", "uniform", "keep")


def main() -> None:
    options = parse()
    task = open_task(options.run, options.data, options.n)
    common = {"run": task.name, "n": task.n}
    once(NAME, common | {"size": None}, lambda: {"top1": task.top1_of_float()})
    files = Files(options.run, task)
    for size in options.sizes or files.sizes():
        for seed in options.seeds:
            for method in METHODS:
                key = common | {"size": size, "images": options.images, "steps": options.steps}
                key |= {"method": method, "seed": seed}
                once(
                    NAME,
                    key,
                    lambda m=method, s=size, k=seed: figures(task, fitted(options, files, m, s, k)),
                )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--sizes", type=lambda text: [bytes_of(word) for word in text.split(",")])
    parser.add_argument("--seeds", type=lambda text: [int(n) for n in text.split(",")], default=[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--n", type=int, default=2000)
    return parser.parse_args()


class Files:
    """Bytes of packed files of networks that are not fitted, each made once."""

    def __init__(self, run: Path, task: Task) -> None:
        self.run, self.task = run, task
        self.known: dict[Any, int] = {}

    def bytes(self, bases: int = 1, keep: tuple[str, ...] = ()) -> int:
        if (bases, keep) not in self.known:
            model = binarize.convert(self.run, bases=bases, keep=keep)
            self.known[bases, keep] = packed_file_bytes(model)
        return self.known[bases, keep]

    def sizes(self) -> list[int]:
        one, two, three = (self.bytes(bases) for bases in (1, 2, 3))
        return [(one + two) // 2, two, three]

    def uniform(self, size: int) -> dict[str, Any]:
        """The options of one number of bases within the size."""
        fitting = [bases for bases in range(1, MOST_BASES + 1) if self.bytes(bases) <= size]
        return {"bases": max(fitting)}

    def keeping(self, size: int) -> dict[str, Any]:
        """The options that keep the most sensitive layers within the size."""
        found = binarize.sensitivity(self.run, calib_data=self.task.calib_data, calib_images=64)
        keep: tuple[str, ...] = ()
        left = size - self.bytes()
        for layer in found.layers:
            more = (
                layer.bytes_float - layer.bytes_1bit
            )  # its scales go, which nearly pays for names
            if more <= left:
                keep, left = (*keep, layer.name), left - more
        while self.bytes(1, keep) > size:
            keep = keep[:-1]
        return {"keep": keep}


def fitted(
    options: argparse.Namespace, files: Files, method: str, size: int, seed: int
) -> nn.Module:
    chosen = {
        "size": lambda: {"size": size},
        "uniform": lambda: files.uniform(size),
        "keep": lambda: files.keeping(size),
    }[method]()
    return binarize.convert(
        options.run,
        calib_data=files.task.calib_data,
        calib_images=options.images,
        calib_steps=options.steps,
        seed=seed,
        **chosen,
    )


@torch.no_grad()
def figures(task: Task, model: nn.Module) -> dict[str, Any]:
    record = model.binarize_info.conversion
    with tempfile.TemporaryDirectory() as folder:
        size = binarize.export(model, Path(folder) / "model.onnx").bytes
    pairs = [
        (model(x).argmax(1), task.float_model.model.eval()(x).argmax(1))
        for x in task.images.split(TEST_BATCH)
    ]
    same = torch.cat([one == other for one, other in pairs]).double().mean().item()
    return {
        "bytes": size,
        "top1": top1(model, task.images, task.labels),
        "same_as_float": round(100 * same, 2),
        "bases": {choice.match: choice.bases for choice in record.layers},
        "other_bases": record.bases,
        "keep": record.keep,
    } | fit_figures(model)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
