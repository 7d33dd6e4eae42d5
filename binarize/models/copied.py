"""Copies of modules that may not be made for it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from binarize.errors import ModelError


def copied(model: nn.Module, memo: Mapping[int, Any] | None = None) -> nn.Module:
    """A deep copy of `model`; `memo`: what stands for what in it, by the id, as `copy.deepcopy` has it.

    Weights that a forward computed and left in their module, as torch.nn.utils.prune and weight_norm do, are
    copied as values: the next forward computes them again. Raises ModelError for a module that has no copy.
    """
    known = dict(memo or {})
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                known.setdefault(id(value), value.detach().clone())
    try:
        return copy.deepcopy(model, known)
    except Exception as error:  # whatever the class or something that it holds raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"the {type(model).__name__} cannot be copied: {reason}",
            "give a module that copy.deepcopy copies; binarize leaves the one it is given as it is",
        ) from error
