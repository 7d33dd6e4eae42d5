"""Twenty optimiser steps of a network without batch norm, and the loss of each."""

from __future__ import annotations

from pathlib import Path

import torch
import train_toys as toys
from accelerate import PartialState
from torch import Tensor, nn

from binarize.training.stages import RunningStage

STEPS = 20
STAGE = {"steps": STEPS, "optimizer": {"name": "momentum", "lr": 0.05}, "clip_grad": 5.0}


def network() -> nn.Module:
    model = toys.network()
    model[3], model[5] = nn.GroupNorm(2, 8), nn.Identity()
    return model


def losses(directory: Path) -> Tensor:
    """[20]: the mean loss over this process's share of each batch."""
    found = []
    original = RunningStage.step

    def step(self: RunningStage, *args: object) -> Tensor:
        total = original(self, *args)
        found.append(total[1] / total[0])
        return total

    RunningStage.step = step
    try:
        toys.train(toys.recipe(STAGE), directory, model=network())
    finally:
        RunningStage.step = original
    return torch.stack(found)


def save_losses(directory: Path) -> None:
    torch.set_num_threads(1)
    found = losses(directory)
    torch.save(found, f"{directory}{PartialState().process_index}.pt")
