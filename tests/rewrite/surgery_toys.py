"""Blocks for surgery, and what the tests of its passes do with them."""

from __future__ import annotations

import copy
import json
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from binarize.layers.added import binarization_off
from binarize.rewrite.capture import Trace, capture
from binarize.rewrite.inventory import Layer, inventory
from binarize.rewrite.select import kept_reasons
from binarize.rewrite.surgery import STRUCTURES, apply_edits, plan_edits

Size = tuple[int, int, int]
SIZE = (3, 16, 16)


class Net(nn.Module):
    """A stem, one block of 8 channels, and a classifier."""

    def __init__(self, block: nn.Module, channels: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.block = block
        self.head = nn.Linear(channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.stem(x)).mean((2, 3)))


class Chain(nn.Module):
    """ReLU, convolution, norm; the ReLU as `kind` says: "module", "function" or "method"."""

    def __init__(self, kind: str = "module", inplace: bool = False) -> None:
        super().__init__()
        self.kind = kind
        self.inplace = inplace
        self.act = nn.ReLU(inplace)
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "module":
            x = self.act(x)
        else:
            x = F.relu(x, self.inplace) if self.kind == "function" else x.relu()
        return self.bn(self.conv(x))


class Basic(nn.Module):
    """A basic block that calls one ReLU twice, as torchvision's does."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(8, 8, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.pool = nn.AvgPool2d(2) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.pool is None else self.pool(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x += shortcut
        return self.relu(x)


def traced(model: nn.Module, size: Size = SIZE) -> tuple[Trace, list[Layer], set[str]]:
    """A model's recording, its layers, and which of them get ±1 inputs: downsample convolutions are
    kept, as conversion keeps them."""
    trace = capture(model, size)
    layers = inventory(trace)
    reasons = kept_reasons(model, trace, layers, ())
    names = {layer.name for layer in layers} - reasons.keys()
    return trace, layers, {name for name in names if "downsample" not in name}


def planned(
    model: nn.Module, structure: str = "bireal", size: Size = SIZE, **kwargs: Any
) -> list[dict[str, Any]]:
    """The edits for `model`, as they come back from a run's JSON."""
    edits = plan_edits(model, *traced(model, size), structure, **kwargs)
    return json.loads(json.dumps(edits))


def operated(model: nn.Module, structure: str = "bireal", size: Size = SIZE) -> nn.Module:
    """A copy of `model` with the edits made."""
    edited = copy.deepcopy(model)
    apply_edits(edited, planned(model, structure, size))
    return edited


def apply_once(model: nn.Module, edits: list[dict[str, Any]], structure: str) -> list[bool]:
    """What each pass says that applying its edits did."""
    passes = {one.name: one for one in STRUCTURES[structure]}
    return [passes[edit["pass"]].apply(model, edit) for edit in edits]


def without(model: nn.Module, x: Tensor) -> Tensor:
    """The output with everything that was added switched off."""
    with torch.no_grad(), binarization_off(model):
        return model(x)


def image(size: Size = SIZE) -> Tensor:
    return torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
