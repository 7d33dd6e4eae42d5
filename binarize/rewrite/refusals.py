"""Modules that cannot be captured: which kind they are, in words.

Whatever such a module raises from its inside says nothing about that to a user.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import torch
from torch import fx, nn
from torch.nn.parameter import is_lazy

from binarize.errors import ModelError

SEQUENCES = (nn.Conv1d, nn.Embedding, *(nn.RNN, nn.LSTM, nn.GRU))


def check_kind(model: nn.Module) -> None:
    """Raises ModelError for a ScriptModule and for a lazy module that has no shapes yet."""
    for name, module in model.named_modules():
        where = f'"{name}"' if name else "the model"
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"{where} is a ScriptModule: its code is compiled, and its weights cannot be replaced",
                "convert the nn.Module that was given to torch.jit.script or torch.jit.trace",
            )
        tensors = (*module._parameters.values(), *module._buffers.values())
        if any(map(is_lazy, tensors)):
            raise ModelError(
                f"{where} is a {type(module).__name__} that has no weights yet",
                "run the model once on an image, which gives it its shapes, and convert it then",
            )


def explained(model: nn.Module, size: tuple[int, ...], error: Exception) -> ModelError:
    """The error for a model that raised `error` when it ran on an image of `size`."""
    inputs = list(required_inputs(model))
    if len(inputs) > 1:
        return ModelError(
            f"the model takes {len(inputs)} inputs ({', '.join(inputs)}), and binarize converts networks "
            "that take one image",
            "wrap it in a module whose forward takes the image alone, or name the part that does with "
            "--submodule",
        )
    first = next(
        (m for m in model.named_modules() if isinstance(m[1], (nn.Conv2d, nn.Conv3d, *SEQUENCES))),
        None,
    )
    if first is not None and isinstance(first[1], SEQUENCES):
        return ModelError(
            f'the model begins with "{first[0]}", a {type(first[1]).__name__}: it takes sequences, and '
            "binarize converts networks that take images",
            "wrap it in a module that makes its input from an image",
        )
    shape = "x".join(str(n) for n in size)
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    hint = "try another --img-size, or see `binarize models ls` for models that are known"
    if isinstance(model, fx.GraphModule):
        hint = 'export it for any batch: dynamic_shapes=({0: torch.export.Dim("batch")},)'
    return ModelError(f"the model does not run on an image of {shape}: {reason}", hint)


def required_inputs(model: nn.Module) -> Iterator[str]:
    """The names of what the forward of `model` cannot do without."""
    if isinstance(model, fx.GraphModule):
        for node in model.graph.find_nodes(op="placeholder"):
            if not node.args:  # a default
                yield str(node.target)
        return
    for name, parameter in inspect.signature(model.forward).parameters.items():
        many = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if not many and parameter.default is parameter.empty:
            yield name
