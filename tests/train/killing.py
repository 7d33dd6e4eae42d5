"""Trains by a recipe of three stages, undisturbed and killed twenty times; run as a script of its own.

    python killing.py DIRECTORY

One process imports torch and forks a child for each life, which is killed at a random moment of it.
Prints how many were killed while they trained, and the epochs that the lives began at.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
import train_toys as toys

from binarize.training import checkpoint
from binarize.training.training_state import TrainingState

KILLS, LIVES = 20, 12
"""A life lasts at most a LIVESth of the whole training."""
OPTIMIZER = {"name": "adamw", "lr": 0.01}
STAGES = (
    {"epochs": 12, "binary": "none", "optimizer": {"name": "momentum", "lr": 0.05}},
    {"epochs": 12, "estimator": "ste", "ema": {"decay": 0.8}, "optimizer": OPTIMIZER},
    {"epochs": 12, "optimizer": OPTIMIZER, "clip_grad": 1.0, "reestimate_norms": 32},
)


def train(directory: Path) -> TrainingState:
    torch.set_num_threads(1)
    checkpoint.recover(directory)
    return toys.train(toys.recipe(*STAGES, binarize={"estimator": "ab-tanh"}), directory)


def live(directory: Path, seconds: float) -> bool:
    """Train for so long, then SIGKILL. Returns whether it was still training."""
    child = os.fork()
    if child == 0:
        train(directory)
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def begins_at(directory: Path) -> int:
    scalars = directory / "last" / "training.json"
    return json.loads(scalars.read_text())["place"]["epochs"] if scalars.is_file() else 0


if __name__ == "__main__":
    here = Path(sys.argv[1])
    child = os.fork()
    if child == 0:
        train(here / "whole")
        os._exit(0)
    began = time.monotonic()
    os.waitpid(child, 0)
    longest = (time.monotonic() - began) / LIVES
    moments = random.Random(0)
    killed, begun = 0, []
    for _ in range(KILLS):
        begun.append(begins_at(here / "cut"))
        killed += live(here / "cut", moments.uniform(0, longest))
    train(here / "cut")
    print(json.dumps({"killed": killed, "begun": begun}))
