"""What conversion adds to a model's tree, and the switch that makes the float model of it again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from torch import nn

Role = Literal["weights", "inputs"]


class AddedModule(nn.Module):
    """Base of every module that conversion adds: binarizers of weights and inputs, shortcuts, activations.

    Attributes:
        enabled: False: the model computes what it computed before this module was added, exactly.
        role: which half of the binarization it belongs to; block surgery exists for binary inputs.
    """

    role: ClassVar[Role]

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


def added_modules(model: nn.Module) -> Iterator[AddedModule]:
    """Every module in `model` that conversion added."""
    return (module for module in model.modules() if isinstance(module, AddedModule))


def switch(model: nn.Module, *, weights: bool, inputs: bool) -> None:
    """Turn binary weights, and binary inputs with their block surgery, on or off."""
    states = {"weights": weights, "inputs": inputs}
    for module in added_modules(model):
        module.enabled = states[module.role]


@contextlib.contextmanager
def binarization_off(model: nn.Module) -> Iterator[None]:
    """The float model that `model` was before, while the block runs.

    It is the model itself that changes: no other thread may be running it.
    """
    before = [(module, module.enabled) for module in added_modules(model)]
    switch(model, weights=False, inputs=False)
    try:
        yield
    finally:
        for module, enabled in before:
            module.enabled = enabled
