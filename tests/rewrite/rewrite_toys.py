"""Small networks that hold one difficulty each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = (3, 16, 16)


class Bypassed(nn.Module):
    """Attention whose parent reads the weight instead of calling the layer, as beit and swin do."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.qkv = nn.Linear(8, 24, bias=False)
        self.proj = nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        q, k, v = F.linear(x, self.qkv.weight).chunk(3, -1)
        x = self.proj(F.scaled_dot_product_attention(q, k, v)) + x
        return self.head(x.mean(1))


class Excited(nn.Module):
    """A depthwise block with squeeze-excite, as mobilenets have it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.reduce = nn.Conv2d(8, 2, 1)
        self.expand = nn.Conv2d(2, 8, 1)
        self.point = nn.Conv2d(8, 12, 1)
        self.grouped = nn.Conv2d(12, 12, 3, 1, 1, groups=3)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(F.relu(self.stem(x)))
        gate = self.expand(F.silu(self.reduce(x.mean((2, 3), keepdim=True))))
        x = self.point(x * torch.sigmoid(gate))
        return self.head(self.grouped(F.relu(x)).mean((2, 3)))


class Shared(nn.Module):
    """One layer called twice, one parameter owned by two layers, one layer never called."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.twice = nn.Conv2d(6, 6, 3, padding=1)
        self.tied = nn.Conv2d(6, 6, 3, padding=1)
        self.tied.weight = self.twice.weight
        self.unused = nn.Linear(3, 3)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.twice(self.stem(x)))
        return self.head(self.tied(x).mean((2, 3)))


class Standardised(nn.Conv2d):
    """A convolution that standardises its weight, as BiT's and NFNet's do."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


def plain(stem: nn.Module | None = None, middle: nn.Module | None = None) -> nn.Sequential:
    """stem, middle, head; the default is three layers of the simplest kind."""
    return nn.Sequential(
        stem or nn.Conv2d(3, 8, 7, 2, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        middle or nn.Conv2d(8, 8, 3, 1, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
