"""How near to a trained float ResNet-20 does a 1-bit one come, without labels and with a few epochs of them?

    python benchmarks/finetune.py FLOAT_RUN DATA_DIR WORK [ROW]...

FLOAT_RUN is a float run trained on CIFAR-10, DATA_DIR its images, WORK a folder for the runs that are made.
Everything goes through the command line, on one thread:

    float                 the float run on all test images
    fit-BASES-SEED        `convert --calib-data` on 1,024 training images in 120 steps; seeds 0 to 2
    fit-step-0            the same with binary inputs, `--activations step`
    fit-sign-0            the same, `--activations sign --structure bireal`
    tuned-BASES, -step    `train --recipe cifar10-finetune`, seed 0, from the fitted run of seed 0
    try-SETTING           300 steps of the stage with labels, one of its settings changed, from the fitted run
                          of one base; scored on 5,000 training images that are set aside

One JSON line each is added to benchmarks/results/finetune.jsonl: top-1 on the test images, seconds and CPU
seconds of the command (for fits without the evaluation), and for trainings those of a step. A row that is
there (of a training: with the settings that the recipe has now) is not measured again, and an interrupted
training is resumed, so the script may be stopped and started at any time. ROWs are names as above; by default
all but the tries.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from result_lines import RESULTS, append

from binarize.recipe import load

NAME = "finetune"
IMAGES, STEPS = 1024, 120
KINDS = {
    "1": ["--bases", "1"],
    "2": ["--bases", "2"],
    "step": ["--activations", "step"],
    "sign": ["--activations", "sign", "--structure", "bireal"],
}
FITS = {f"fit-{kind}-{seed}" for kind in ("1", "2") for seed in range(3)} | {
    "fit-step-0",
    "fit-sign-0",
}
TRIED = {
    "none": [],
    "lr-3e-4": ["optimizer.lr=3e-4"],
    "lr-3e-3": ["optimizer.lr=3e-3"],
    "momentum": ["optimizer.name=momentum", "optimizer.lr=0.02"],
    "features-0.03": ["distill.features=0.03"],
    "features-0.3": ["distill.features=0.3"],
    "features-1": ["distill.features=1.0"],
    "logits": ["distill.weight=1.0"],
    "labels": ["distill.weight=0.0"],
    "no-norms": ["reestimate_norms=0"],
}
"""Setting -> what it changes in the second stage of the recipe, the first being skipped."""
TRIES = {f"try-{setting}" for setting in TRIED}
ROWS = ["float", *sorted(FITS), *(f"tuned-{kind}" for kind in ("1", "2", "step"))]


def binarize(*arguments: str | Path) -> tuple[Any, dict[str, float]]:
    """The JSON that a command prints, and the seconds that it took."""
    began, before = time.monotonic(), _cpu_seconds()
    command = [sys.executable, "-m", "binarize", *map(str, arguments), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    taken = {"seconds": time.monotonic() - began, "cpu_s": _cpu_seconds() - before}
    return json.loads(ended.stdout), {name: round(value, 1) for name, value in taken.items()}


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def top1(run: Path, images: Path) -> float:
    (scores,), _ = binarize("eval", run, "--data-dir", images, "--workers", "0")
    return float(scores["top1"])


def fitted(row: str, float_run: Path, images: Path, work: Path) -> dict[str, Any]:
    """Convert and fit; a run of that name that has no line was scored by nobody, and is made again."""
    _, kind, seed = row.split("-")
    run = _new(work / row)
    options = [*KINDS[kind], "--seed", seed, "--calib-data", images / "train.tar"]
    options += ["--calib-images", IMAGES, "--calib-steps", STEPS, "-o", run]
    content, taken = binarize("convert", float_run, *map(str, options))
    fit = {name: value for name, value in content["fit"].items() if name != "outputs"}
    return {
        "top1": top1(run, images),
        **taken,
        "bytes": content["totals"]["bytes_packed"],
        "fit": fit,
    }


def tuned(row: str, images: Path, work: Path) -> dict[str, Any]:
    """Train the fitted run of seed 0 by the recipe."""
    kind = row.removeprefix("tuned-")
    run, start = work / row, work / f"fit-{kind}-0"
    resumed = (run / "run.json").is_file()
    if resumed:
        what = ["--resume", run]
    else:
        what = [start, "--recipe", "cifar10-finetune", "--data-dir", images, "-o", run]
        what += ["--set", "engine.threads=1"]
    result, taken = binarize("train", *what)
    epochs = (run / "metrics.csv").read_text().splitlines()
    steps = int(dict(zip(epochs[0].split(","), epochs[-1].split(","), strict=True))["step"])
    cost = {**taken, "cpu_s_per_step": round(taken["cpu_s"] / steps, 3)} if not resumed else {}
    return {"top1": result["top1"], "epochs": result["epochs"], "steps": steps, **cost}


def tried(row: str, images: Path, work: Path) -> dict[str, Any]:
    """A short training with other settings; its images held out have the word."""
    changes = [f"stages.1.{change}" for change in TRIED[row.removeprefix("try-")]]
    changes += [
        "data.holdout=5000",
        "stages.1.epochs=null",
        "stages.1.steps=300",
        "engine.threads=1",
    ]
    run = _new(work / row)
    what = [work / "fit-1-0", "--recipe", "cifar10-finetune", "--data-dir", images, "-o", run]
    result, taken = binarize(
        "train", *what, *(word for each in changes for word in ("--set", each))
    )
    return {"held_out_top1": result["top1_best"], "changes": changes, **taken}


def settings() -> dict[str, float]:
    """What the recipe says of the training with labels."""
    recipe = load("cifar10-finetune")
    stage = recipe.stages[1]
    return {
        "lr": stage.optimizer.lr,
        "features": stage.distill.features,
        "batch": recipe.data.batch_size,
    }


def _new(path: Path) -> Path:
    if path.exists():
        path.rename(path.with_name(f"{path.name}-unscored-{time.time_ns()}"))
    return path


def known() -> list[dict[str, Any]]:
    """The lines of the results so far."""
    file = RESULTS / f"{NAME}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def main(float_run: Path, images: Path, work: Path, rows: list[str]) -> None:
    work.mkdir(parents=True, exist_ok=True)
    for row in rows:
        key = {"row": row, "network": float_run.name}
        if row.startswith("tuned-"):
            key["stage"] = settings()
        if any(key.items() <= line.items() for line in known()):
            continue
        if row == "float":
            found = {"top1": top1(float_run, images)}
        elif row in TRIES:
            found = tried(row, images, work)
        elif row in FITS:
            found = fitted(row, float_run, images, work)
        else:
            found = tuned(row, images, work)
        append(NAME, key | found)
        print(row, json.dumps(found), flush=True)


if __name__ == "__main__":
    chosen = sys.argv[4:] or ROWS
    for unknown in set(chosen) - {*ROWS, *TRIES}:
        sys.exit(f"there is no row {unknown}; the rows are {', '.join([*ROWS, *sorted(TRIES)])}")
    main(*(Path(argument) for argument in sys.argv[1:4]), chosen)
