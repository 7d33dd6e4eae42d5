"""What conversion adds to a model's tree, and the switch that makes the float model of it again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from torch import nn

Part = Literal["weights", "inputs"]


class Addition(nn.Module):
    """Base of every module that conversion adds: binarizers of weights and inputs, shortcuts, activations.

    Attributes:
        enabled: False: the model computes what it computed before this module was added, exactly.
        part: which half of the binarization it belongs to; block surgery exists for binary inputs.
    """

    part: ClassVar[Part]

    def __init__(self) -> None:
        super().__init__()
        self.enabled = True

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        *rest: Any,
    ) -> None:
        """A float checkpoint has none of the parameters in here: they keep their values."""
        missing: list[str] = []
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing, *rest)


def additions(model: nn.Module) -> Iterator[Addition]:
    """Every module in `model` that conversion added."""
    return (module for module in model.modules() if isinstance(module, Addition))


def switch(model: nn.Module, *, weights: bool, inputs: bool) -> None:
    """Turn binary weights, and binary inputs with their block surgery, on or off."""
    states = {"weights": weights, "inputs": inputs}
    for addition in additions(model):
        addition.enabled = states[addition.part]


@contextlib.contextmanager
def binarization_off(model: nn.Module) -> Iterator[None]:
    """The float model that `model` was before, for as long as the block lasts.

    It is the model itself that changes: no other thread may be running it.
    """
    before = [(addition, addition.enabled) for addition in additions(model)]
    switch(model, weights=False, inputs=False)
    try:
        yield
    finally:
        for addition, enabled in before:
            addition.enabled = enabled
