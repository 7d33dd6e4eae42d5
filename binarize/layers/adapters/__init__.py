"""Module classes that need more than a weight that reads as binary: one file a kind, one line in the table.

base        what an adapter says, and the one for all other classes
padded      convolutions that pad their input themselves ("same" padding)
standard    weights that are standardised before use
attention   nn.MultiheadAttention, which hands all weights to one function
experts     convolutions whose weight is mixed from experts for each image
"""

from __future__ import annotations

from typing import Any

from timm.layers import (
    CondConv2d,
    Conv2dSame,
    ScaledStdConv2d,
    ScaledStdConv2dSame,
    StdConv2d,
    StdConv2dSame,
)
from torch import nn

from binarize.layers.adapters.attention import AttentionAdapter
from binarize.layers.adapters.base import Adapter
from binarize.layers.adapters.experts import ExpertsAdapter
from binarize.layers.adapters.padded import PaddedAdapter
from binarize.layers.adapters.standard import StandardAdapter

TABLE: dict[type[nn.Module], Adapter[Any]] = {
    StdConv2d: StandardAdapter(),
    StdConv2dSame: StandardAdapter(),
    ScaledStdConv2d: StandardAdapter(),
    ScaledStdConv2dSame: StandardAdapter(),
    Conv2dSame: PaddedAdapter(),
    nn.MultiheadAttention: AttentionAdapter(),
    CondConv2d: ExpertsAdapter(),
}
_PLAIN = Adapter[nn.Module]()


def find(cls: type[nn.Module]) -> Adapter[Any]:
    """The adapter of a module class or of the nearest class that it inherits from."""
    return next((TABLE[base] for base in cls.__mro__ if base in TABLE), _PLAIN)


__all__ = ["TABLE", "Adapter", "find"]
