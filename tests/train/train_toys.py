"""A small network on made-up images, and a trainer for it: nothing here reads a file or a data set."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from binarize import estimators
from binarize.layers import WeightBinarizer, binarize_weight, scale
from binarize.progress import Progress
from binarize.recipe import Recipe, load
from binarize.run import Preprocess
from binarize.training.device import leave_group_at_exit, make_accelerator, shard_test, shard_train
from binarize.training.engine import Trainer
from binarize.training.phase import Loaders, Phase
from binarize.training.teacher import Teacher
from binarize.training.training_state import TrainingState

IMAGES, CLASSES, BATCH = 96, 4, 16
STAGE: dict[str, Any] = {"epochs": 2, "optimizer": {"name": "momentum", "lr": 0.05}}


def recipe(*stages: dict[str, Any], **sections: Any) -> Recipe:
    """A recipe of these stages (by default one of two epochs) with a batch of 16."""
    data = {"name": "digits", "batch_size": BATCH, **sections.pop("data", {})}
    return load({"data": data, "stages": list(stages) or [STAGE], **sections})


def network(binary: bool = True) -> nn.Module:
    """Convolution, binary convolution with batch norm and dropout, classifier; the same at every call."""
    torch.manual_seed(5)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, CLASSES),
    )
    if binary:
        binarizer = WeightBinarizer(estimators.get("ab-tanh"), scale.get("channel"))
        binarize_weight(model[2], "weight", binarizer)
    return model


def images() -> TensorDataset:
    """[96, 3, 6, 6] of noise with a trace of their class in one channel's mean."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(IMAGES, 3, 6, 6, generator=generator)
    labels = torch.arange(IMAGES) % CLASSES
    pixels[:, 0] += (labels - 1.5)[:, None, None]
    return TensorDataset(pixels, labels)


def trainer(chosen: Recipe, progress: Progress | None = None) -> Trainer:
    """With `data.holdout` in the recipe, so many of the images are held out (and trained on too)."""
    accelerator = make_accelerator(chosen.engine, chosen.data.batch_size)
    training = DataLoader(images(), chosen.data.batch_size, shuffle=True, drop_last=True)
    testing = DataLoader(images(), 40)
    held_out = None
    if chosen.data.holdout:
        held_out = DataLoader(Subset(images(), range(chosen.data.holdout)), 40)
    loaders = Loaders(
        shard_train(training, accelerator),
        shard_test(testing, accelerator),
        held_out and shard_test(held_out, accelerator),
    )
    return Trainer(chosen, accelerator, loaders, CLASSES, progress or Progress())


def parent(_: object = None) -> Teacher:
    """The float network, to learn its inner outputs from."""
    preprocess = Preprocess(
        img_size=6, mean=[0.5], std=[0.25], interpolation="bilinear", crop_pct=1.0
    )
    return Teacher(network(binary=False), preprocess, preprocess, ["2", "3"]).eval()


def train(
    chosen: Recipe,
    directory: Path,
    progress: Progress | None = None,
    model: nn.Module | None = None,
) -> TrainingState:
    """Train the network in `directory`, or resume what is there; stages that are distilled have `parent`."""
    phase = Phase("binarized", directory, model or network(), teacher=parent)
    state = trainer(chosen, progress).train(phase)
    leave_group_at_exit()
    return state


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Equal keys and equal bits."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def last(directory: Path) -> dict[str, Tensor]:
    """The weights of the last checkpoint."""
    return load_file(directory / "last" / "model.safetensors")


def rows(directory: Path) -> list[dict[str, str]]:
    """The lines of metrics.csv."""
    with (directory / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it."""


class KillAt(Progress):
    """Dies in the given epoch: in one of its steps ("step"), or when it is written down ("done")."""

    def __init__(self, epoch: int, event: str) -> None:
        self.number, self.event = epoch, event

    def update(self, done: int, note: str = "") -> None:
        if self.event == "step" and note.startswith(f"epoch {self.number}/"):
            raise Killed

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        if self.event == "done" and row["epoch"] == self.number:
            raise Killed
