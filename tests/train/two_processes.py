"""Trains the same recipes in one process and in two, and keeps what came out; run as a script of its own.

    python two_processes.py DIRECTORY

One process imports torch and forks the three that train. CASE-WORLD-RANK.pt has the mean loss of each
step and the model's state_dict.
"""

from __future__ import annotations

import functools
import gc
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import train_toys as toys
from accelerate import PartialState
from torch import Tensor, nn
from torch.multiprocessing import start_processes

from binarize.estimators import TABLE
from binarize.layers import StepBinarizer, WeightBinarizer, binarize_weight
from binarize.training.stages import RunningStage

LEARNED = {"name": "ab-tanh", "adaptive": "learned"}


def network(inputs: bool = False, idle: bool = False, estimator: str = "ab-tanh") -> nn.Module:
    """Without batch norm and dropout: two halves of a batch give what the whole batch gives."""
    model = toys.network(binary=False)
    model[3], model[5] = nn.GroupNorm(2, 8), nn.Identity()
    binarizer = WeightBinarizer(toys.estimators.get(estimator), toys.scale.get("learned"))
    binarize_weight(model[2], "weight", binarizer, StepBinarizer(8, 1) if inputs else None)
    if idle:
        model[5].never = nn.Linear(3, 3)
    return model


def stages(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    short = {"steps": 3, "optimizer": {"name": "momentum", "lr": 0.05}}
    return [{**short, **change} for change in changes]


def using(*estimators: str | dict[str, Any]) -> list[dict[str, Any]]:
    return stages(*({"estimator": estimator} for estimator in estimators))


Case = tuple[Sequence[dict[str, Any]], Callable[[], nn.Module]]

FOLLOWING: dict[str, Case] = {
    "every-estimator": (using(*TABLE), network),
    "none-to-learned": (using("ste", "dsq"), network),
    "learned-to-none": (using("dsq", "ste"), network),
    "learned-in-the-end": (using("ste", "dsq"), functools.partial(network, estimator="dsq")),
    "learned-to-other": (using("dsq", LEARNED, "dsq"), network),
    "float-to-binary": (stages({"binary": "none"}, {"binary": "all"}), network),
    "never-runs": (stages({}), functools.partial(network, idle=True)),
    "in-parts": (stages({"binary": "none"}, {}), functools.partial(network, idle=True)),
}
"""Cases in which two processes together see the loss that one sees."""

INPUTS: dict[str, Case] = {
    "binary-inputs": (
        stages({"binary": "none"}, {"binary": "activations"}, {"binary": "all"}),
        functools.partial(network, inputs=True),
    ),
    "weights-first": (
        stages({"binary": "weights"}, {"binary": "all"}),
        functools.partial(network, inputs=True),
    ),
}
"""Thresholds are calibrated on the images of the first process: after the first stage."""

FEATURES: dict[str, Case] = {
    "inner-outputs": (
        stages({"distill": {"teacher": "float", "weight": 0, "features": 1, "labels": False}}),
        network,
    ),
}
"""Errors are relative to the images of each process."""

CASES = {**FOLLOWING, **INPUTS, **FEATURES}


def losses_of(case: Case, directory: Path, **engine: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """([steps] the mean loss over this process's share of each batch, the trained state_dict)."""
    found: list[Tensor] = []
    original = RunningStage.step

    def step(self: RunningStage, *args: Any) -> Tensor:
        total = original(self, *args)
        found.append(total[1] / total[0])
        return total

    RunningStage.step = step
    try:
        chosen, make = case
        model = make()
        binarize = {"estimator": "ab-tanh", "activations": "step"}
        recipe = toys.recipe(*chosen, binarize=binarize, engine=engine)
        toys.train(recipe, directory, model=model)
    finally:
        RunningStage.step = original
    return torch.stack(found), model.state_dict()


def work(rank: int, world: int, port: int, directory: Path) -> None:
    torch.set_num_threads(1)
    if world > 1:
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in names.items()})
        os.environ["MASTER_ADDR"] = "127.0.0.1"
    for name, case in CASES.items():
        parts = {"accumulate": 2} if name == "in-parts" else {}
        came_out = losses_of(case, directory / f"{name}-{world}", **parts)
        torch.save(came_out, directory / f"{name}-{world}-{rank}.pt")
    PartialState().destroy_process_group()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    os.environ["ACCELERATE_USE_CPU"] = "true"
    gc.freeze()  # what is imported need not be visited at every stage
    for world in (1, 2):
        arguments = (world, free_port(), Path(sys.argv[1]))
        start_processes(work, arguments, nprocs=world, start_method="fork")
