"""The gates that every conversion passes: what the table says is what the model does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from binarize.errors import ModelError
from binarize.layers import binarization_off
from binarize.rewrite.census import census
from binarize.rewrite.record import Size, record

REPORT = "this is a defect of binarize: please report the model's name"


def verify_executed(model: nn.Module, size: Size, binarized: set[str]) -> None:
    """A dry run on fake tensors, at batch 2 and 3: exactly the layers reported as binarized are executed
    through their binary weight, and nothing else is. Raises ModelError otherwise."""
    for batch in (2, 3):
        layers = census(record(model, size, batch))
        executed = {layer.name for layer in layers if layer.binary and layer.direct}
        for name in sorted(binarized ^ executed):
            what = "is bypassed" if name in binarized else "is binary but reported as kept"
            raise ModelError(f'layer "{name}" {what} at batch {batch}', REPORT)


def verify_keys(before: set[str], model: nn.Module) -> None:
    """The state_dict has the keys it had: float checkpoints load. Raises ModelError otherwise."""
    changed = sorted(before ^ set(model.state_dict()))
    if changed:
        raise ModelError(f'conversion changed the state_dict key "{changed[0]}"', REPORT)


@torch.no_grad()
def logits(model: nn.Module, size: Size) -> Tensor:
    """The model's first output, in eval mode, for one image of seeded standard-normal noise."""
    noise = torch.randn(1, *size, generator=torch.Generator().manual_seed(0))
    parameter = next(model.parameters())
    modes = {module: module.training for module in model.modules()}
    try:
        output = model.eval()(noise.to(parameter))
    finally:
        for module, training in modes.items():
            module.training = training
    while isinstance(output, (tuple, list)):
        output = output[0]
    return output


def verify_values(before: Tensor, model: nn.Module, size: Size) -> None:
    """With binarization switched off, the model's output is what it was. Raises ModelError otherwise."""
    with binarization_off(model):
        after = logits(model, size)
    if not torch.allclose(before, after, rtol=1e-5, atol=1e-5 * float(before.abs().max())):
        difference = float((before - after).abs().max())
        raise ModelError(f"conversion changed the float model's output by {difference:.2e}", REPORT)
