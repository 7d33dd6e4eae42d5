"""Small networks whose exports hold what the kernels compute: see fuzz_onnx.py."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """Convolutions over two axes and one, with a shortcut, in groups; rows; GELU. Images of 8 x 8."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.first = nn.Conv2d(32, 64, 3, padding=1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(64)
        self.grouped = nn.Conv2d(64, 64, 3, padding=2, dilation=2, groups=2, bias=False)
        self.line = nn.Conv1d(64, 33, 3, padding=1)
        self.rows = nn.Linear(16, 20)
        self.head = nn.Linear(33 * 20, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(torch.relu(self.stem(x)))))
        x = torch.relu(x + self.grouped(x))
        x = nn.functional.gelu(self.rows(torch.relu(self.line(x.flatten(2)))))
        return self.head(x.flatten(1))


class Stemmed(nn.Module):
    """A ResNet's beginning, which is one op of the kernels, and two layers whose inputs come as bits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 7, stride=2, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.first = nn.Conv2d(16, 32, 3, padding=1, bias=False)
        self.second = nn.Conv2d(32, 16, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(32), nn.BatchNorm2d(16)])
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.norm(self.stem(x))))
        x = torch.relu(self.norms[0](self.first(x)))
        x = torch.relu(self.norms[1](self.second(x)))
        return self.head(x.mean((2, 3)))
