"""Modules that cannot be captured: which kind they are, in words.

Whatever such a module raises from its inside says nothing about that to a user.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator

import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from binarize.errors import ModelError
from binarize.rewrite.nodes import argument, function_name
from binarize.run import Run

SHARDED = {"FullyShardedDataParallel", "FSDPModule"}
QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")
"""Whose weights are no parameters: by their names, as importing them takes long."""
FLOAT_FUNCTIONS = ("FloatFunctional", "FXFloatFunctional")
"""Of these modules, those that add and multiply floats until a network is quantised."""
IN_TRAINING = {
    "batch_norm": (5, "training"),
    "dropout": (2, "training"),
    "alpha_dropout": (2, "training"),
}
"""Functions that a graph may call as in training, whatever the mode of its module: by which argument."""
SEQUENCES = (nn.Conv1d, nn.Embedding, *(nn.RNN, nn.LSTM, nn.GRU))


def check_target(target: object) -> None:
    """Raises ModelError for what is neither a module nor the name or path of one."""
    if isinstance(target, (nn.Module, str, os.PathLike, Run)):
        return
    kind = type(target).__name__
    hint = "give its .module()" if kind == "ExportedProgram" else "give one of these"
    raise ModelError(f"binarize takes an nn.Module, a model's name or a run, not {kind}", hint)


def check_logits(logits: Tensor) -> None:
    """Raises ModelError for an answer that has no row of real numbers for each image."""
    if logits.ndim == 0 or logits.is_complex():
        what = "complex numbers" if logits.is_complex() else "one number for all images"
        raise ModelError(
            f"the model answers with {what}, and logits have a row of real numbers for each image",
            "have its forward return the logits; a loss is computed outside of it",
        )


def check_kind(model: nn.Module) -> None:
    """Raises ModelError for a module that can be neither captured nor changed, whatever its layers are."""
    for name, module in model.named_modules():
        where = f'"{name}"' if name else "the model"
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"{where} is a ScriptModule: its code is compiled, and its weights cannot be replaced",
                "convert the nn.Module that was given to torch.jit.script or torch.jit.trace",
            )
        if any(kind.__name__ in SHARDED for kind in type(module).__mro__):
            raise ModelError(
                f"{where} is sharded (FSDP): no process has its weights",
                "convert the model before it is sharded",
            )
        kind = type(module)
        if kind.__module__.startswith(QUANTISED) and kind.__name__ not in FLOAT_FUNCTIONS:
            raise ModelError(
                f"{where} is a {type(module).__name__} that torch.ao has quantised: its weights are integers",
                "convert the float model",
            )
        function = _trained(module)
        if function:
            raise ModelError(
                f"{where} is a graph that was recorded in training mode: it calls {function} as in training",
                "record it after model.eval()",
            )
        tensors = (*module._parameters.values(), *module._buffers.values())
        if any(map(is_lazy, tensors)):
            raise ModelError(
                f"{where} is a {type(module).__name__} that has no weights yet",
                "run the model once on an image, which gives it its shapes, and convert it then",
            )


def _trained(module: nn.Module) -> str:
    """The function that the graph of `module` calls as in training; empty where there is none."""
    if not isinstance(module, fx.GraphModule):
        return ""
    for node in module.graph.nodes:
        name = function_name(node).removeprefix("feature_")
        if name in IN_TRAINING and argument(node, *IN_TRAINING[name]) is True:
            return name
    return ""


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
