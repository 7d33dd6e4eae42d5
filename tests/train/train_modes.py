"""The modes of training whose path on a GPU is checked: here without one, in tests/gpu with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import train_toys as toys
from torch import nn

import binarize
from binarize.layers import StepBinarizer, binarize_weight
from binarize.training.phase import Phase


@dataclass(frozen=True)
class Mode:
    """What a recipe says of it, and what is trained; without dropout, which draws other numbers on a GPU."""

    model: Callable[[], nn.Module]
    stage: dict[str, Any] = field(default_factory=dict)
    binarize: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)


def network(inputs: bool = False) -> nn.Module:
    model = toys.network(binary=False)
    model[5] = nn.Identity()
    binarizer = toys.WeightBinarizer(toys.estimators.get("ab-tanh"), toys.scale.get("channel"))
    binarize_weight(model[2], "weight", binarizer, StepBinarizer(8, 1) if inputs else None)
    return model


def rewritten() -> nn.Module:
    """With binary inputs of -1 and +1, and the blocks around them rewritten."""
    return binarize.convert(
        "cifar_resnet20",
        pretrained=False,
        num_classes=toys.CLASSES,
        img_size=8,
        model_args={"blocks": 1},
        activations="sign",
        structure="reactnet",
    )


MODES = {
    "W1A32": Mode(network),
    "W1A1-step": Mode(lambda: network(inputs=True), binarize={"activations": "step"}),
    "W1A1-sign": Mode(rewritten, binarize={"activations": "sign", "structure": "reactnet"}),
    "distillation": Mode(network, {"distill": {"teacher": "float", "weight": 0.5}}),
    "ema": Mode(network, {"ema": {"decay": 0.9}, "clip_grad": 1.0}),
    "mixed-precision": Mode(network, engine={"precision": "bf16"}),
    "mixup": Mode(network, {"mixup": 0.2, "label_smoothing": 0.1}),
    "in-parts": Mode(network, engine={"accumulate": 2}),
}


def train(mode: Mode, directory: Path) -> nn.Module:
    """One epoch of six steps; returns the model."""
    stage = {"epochs": 1, "optimizer": {"name": "momentum", "lr": 0.05}, **mode.stage}
    section = {"estimator": "ab-tanh", **mode.binarize}
    recipe = toys.recipe(stage, binarize=section, engine=mode.engine)
    model = mode.model()
    phase = Phase("binarized", directory, model, teacher=lambda _: toys.network(False).eval())
    toys.trainer(recipe).train(phase)
    toys.leave_group_at_exit()
    return model
