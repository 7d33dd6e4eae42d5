"""A loss that is no number, and where it comes from: the first layer that gives one."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from binarize.errors import TrainingError
from binarize.layers import AddedModule
from binarize.training.plan import Epoch


def check_finite(
    loss: float, epoch: Epoch, model: nn.Module | None = None, images: Tensor | None = None
) -> None:
    """Raises TrainingError where the loss is infinite or no number; it names the first layer of `model`
    that gives such values for `images`."""
    if math.isfinite(loss):
        return
    layer = first_bad_layer(model, images) if model is not None and images is not None else None
    where = f': layer "{layer}" gives the first value that is none' if layer else ""
    raise TrainingError(
        f"the loss is no longer a number in epoch {epoch.number}{where}",
        "lower the learning rate, or set clip_grad in the stage; the checkpoint of the last "
        "finished epoch is kept",
    )


@torch.no_grad()
def first_bad_layer(model: nn.Module, images: Tensor) -> str | None:
    """The name of the first module, in the order of execution, whose output is not finite for `images`.

    None where all are finite: then it is the loss that is not, or a gradient. The statistics of batch
    norms are left as they are.
    """
    found: list[str] = []

    def hook_for(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if not found and isinstance(output, Tensor) and not output.isfinite().all():
                found.append(name)

        return hook

    leaves = [(name, module) for name, module in model.named_modules() if name and _is_leaf(module)]
    handles = [module.register_forward_hook(hook_for(name)) for name, module in leaves]
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    try:
        model(images)
    finally:
        for handle in handles:
            handle.remove()
        for name, value in model.named_buffers():
            value.copy_(buffers[name])
    return found[0] if found else None


def _is_leaf(module: nn.Module) -> bool:
    """Whether no other layer runs inside of it. What conversion added to a layer is a part of that."""
    parts = [isinstance(child, AddedModule) for child in module.children()]
    return all(parts) and not isinstance(module, AddedModule)
