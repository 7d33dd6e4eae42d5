"""Attributes of modules that are neither tensors nor modules, which torch's annotations do not know of."""

from __future__ import annotations

from torch import nn


def set_attribute(model: nn.Module, name: str, value: object) -> None:
    """`model.<name> = value`."""
    setattr(model, name, value)
