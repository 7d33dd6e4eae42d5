"""What is left of a network trained on the digits, after conversion and after fitting without labels?

    python benchmarks/fit_digits.py FLOAT_RUN...

FLOAT_RUN is a float network that is trained on the digits: the float baseline of `make demo`
(demo/trained/twin), or a transformer, which has no batch norms, made by

    binarize train --recipe digits --set model.name=vit_tiny_patch16_224 --set twin=false -o FLOAT_RUN \\
        --set 'model.kwargs={patch_size: 8, embed_dim: 96, depth: 4, num_heads: 4}' \\
        --set 'binarize.keep=["*"]' --set stages.0.epochs=30 \\
        --set 'stages.0.optimizer={name: adamw, lr: 2e-3, weight_decay: 0.01}'

Top-1 on the 360 test images: float; for 1 and 2 bases as converted; with the norms measured again on training
images (`calib_steps=0`); and fitted to 1,024 of them, whose labels are not read, in 120 steps, seeds 0, 1, 2.
One JSON line each is added to benchmarks/results/fit_digits.jsonl, where it is not there yet.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from fitting_lines import fit_figures, once, open_task, top1

import binarize

NAME = "fit_digits"
SEEDS = (0, 1, 2)


def main(run: Path) -> None:
    task = open_task(run, None, 0)
    model = {"model": task.float_model.info.model.name}

    def converted(bases: int, **how: Any) -> dict[str, Any]:
        made = binarize.convert(run, bases=bases, **how)
        return {"top1": top1(made, task.images, task.labels)} | (fit_figures(made) if how else {})

    once(NAME, model | {"bases": None}, lambda: {"top1": task.top1_of_float()})
    for bases in (1, 2):
        rows: dict[str, dict[str, Any]] = {
            "as converted": {},
            "norms measured again": {"calib_data": task.calib_data, "calib_steps": 0},
        }
        for name, how in rows.items():
            key = model | {"bases": bases, "weights": name}
            once(NAME, key, lambda bases=bases, how=how: converted(bases, **how))
        for seed in SEEDS:
            how = {"calib_data": task.calib_data, "seed": seed}
            key = model | {"bases": bases, "weights": "fitted", "seed": seed}
            once(NAME, key, lambda bases=bases, how=how: converted(bases, **how))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for run in sys.argv[1:]:
        main(Path(run))
