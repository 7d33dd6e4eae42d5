"""A tree of tensors and scalars as safetensors + JSON, and back: an optimiser's state without pickle.

JSON keeps the tree; each tensor leaves a reference `{"tensor": "17"}` behind and goes into the
safetensors file under that name. Dictionaries are written as lists of pairs, because an optimiser's
keys are integers as well as strings, and tuples are told apart from lists.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from binarize.errors import TrainingError

SCALARS = (bool, int, float, str, type(None))


def pack(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The JSON form of `tree`; its tensors are added to `tensors`.

    Raises TrainingError for a leaf that neither JSON nor safetensors can hold.
    """
    if isinstance(tree, Tensor):
        name = str(len(tensors))
        tensors[name] = portable(tree)
        return {"tensor": name}
    if isinstance(tree, SCALARS):
        return tree
    if isinstance(tree, dict):
        return {"dict": [[pack(k, tensors), pack(v, tensors)] for k, v in tree.items()]}
    if isinstance(tree, (list, tuple)):
        items = [pack(item, tensors) for item in tree]
        return {"tuple": items} if isinstance(tree, tuple) else items
    raise TrainingError(
        f"the optimiser keeps a {type(tree).__name__}, which a checkpoint cannot hold",
        "choose another optimiser in the recipe, such as sgd or adamw",
    )


def unpack(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of `pack`."""
    if isinstance(tree, list):
        return [unpack(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "tuple":
        return tuple(unpack(item, tensors) for item in content)
    return {unpack(k, tensors): unpack(v, tensors) for k, v in content}


def portable(tensor: Tensor) -> Tensor:
    """A copy on the CPU that shares memory with nothing, as safetensors asks for."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a state_dict and lay its tensors out in memory as the parameters they belong to are.

    A sum over a channels_last tensor and over a contiguous one may differ in the last bit, so a
    resumed run has to have the layout of one that was never interrupted.
    """
    before = [dict(group) for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for old, new in zip(before, optimizer.param_groups, strict=True):
        _check_numbers(old, new)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                like = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False)
                values[name] = like.copy_(value)


def _check_numbers(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raises ValueError where a setting of an optimiser was a number and is none any more."""
    for name, value in old.items():
        if isinstance(value, (int, float)) and not isinstance(new.get(name), (int, float)):
            raise ValueError(f"{name} of the optimiser is {new.get(name)!r}")
