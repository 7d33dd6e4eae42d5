"""Small models with binary weights, for the tests of this directory."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from binarize import estimators
from binarize.layers import WeightBinarizer, binarize_weight, scale


def binarizer(
    estimator: str = "ab-tanh", scale_name: str = "channel", standardise: bool = True
) -> WeightBinarizer:
    return WeightBinarizer(estimators.get(estimator), scale.get(scale_name), standardise)


class Bypassed(nn.Module):
    """A parent that uses a child's weight and never calls the child, as beit and swinv2 do."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(6, 18)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.qkv.weight, self.qkv.bias)


class Net(nn.Module):
    """A grouped convolution, a bypassed linear layer and torch's own attention, on [n, 3, 5, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, groups=3)
        self.bypassed = Bypassed()
        self.attention = nn.MultiheadAttention(18, 2, batch_first=True)
        self.head = nn.Linear(18, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.bypassed(self.conv(x).flatten(2).transpose(1, 2))
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return self.head(mixed.mean(1))


BINARY = ("conv.weight", "bypassed.qkv.weight", "attention.in_proj_weight")
"""What `binary_net` binarizes; the attention's out_proj and the head stay float."""


def binary_net(seed: int = 0, **options: object) -> Net:
    torch.manual_seed(seed)
    net = Net().eval()
    for key in BINARY:
        path, _, parameter = key.rpartition(".")
        binarize_weight(net.get_submodule(path), parameter, binarizer(**options))
    return net


def float_net(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net().eval()


def images(seed: int = 1) -> Tensor:
    return torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
