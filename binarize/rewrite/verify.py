"""The gates that every conversion passes: what the table says is what the model does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from binarize.errors import ModelError
from binarize.layers import AddedModule, binarization_off
from binarize.models import logits_of
from binarize.rewrite.inventory import inventory
from binarize.rewrite.model_part import ModelPart

BATCHES = (2, 3)
REPORT = "this is a defect of binarize: please report the model's name"


def verify_executed(part: ModelPart, weights: set[str], inputs: set[str]) -> None:
    """A dry run on fake tensors, at batch 2 and 3: exactly the layers reported as binarized are executed
    through their binary weight, and exactly `inputs` through a binary input. Raises ModelError otherwise."""
    for batch, trace in zip(BATCHES, part.capture_batches(BATCHES), strict=True):
        layers = inventory(trace)
        binary = {layer.name for layer in layers if layer.binary}
        _compare(weights, binary, "weight", batch)
        _compare(inputs, {layer.name for layer in layers if layer.binary_input}, "input", batch)


def _compare(reported: set[str], executed: set[str], what: str, batch: int) -> None:
    for name in sorted(reported ^ executed):
        how = "is bypassed" if name in reported else "is binary but reported as float"
        raise ModelError(f'the {what} of layer "{name}" {how} at batch {batch}', REPORT)


def verify_keys(before: set[str], model: nn.Module) -> None:
    """The state_dict has the keys it had, and those of what was added: float checkpoints load.
    Raises ModelError otherwise."""
    modules = model.named_modules(remove_duplicate=False)  # a module may have several names
    added = {f"{name}." for name, module in modules if isinstance(module, AddedModule)}
    after = {
        key
        for key in model.state_dict(keep_vars=True)
        if not any(key.startswith(name) for name in added)
    }
    changed = sorted(before ^ after)
    if changed:
        raise ModelError(f'conversion changed the state_dict key "{changed[0]}"', REPORT)


@torch.no_grad()
def logits(part: ModelPart) -> Tensor:
    """The logits, in eval mode, for one image of seeded standard-normal noise."""
    model = part.module
    noise = torch.randn(1, *part.size, generator=torch.Generator().manual_seed(0))
    parameter = next(model.parameters())
    modes = {module: module.training for module in model.modules()}
    try:
        output = model.eval()(noise.to(parameter))
    finally:
        for module, training in modes.items():
            module.training = training
    return logits_of(output)


def verify_values(before: Tensor, part: ModelPart) -> None:
    """With binarization switched off, the model's output is what it was. Raises ModelError otherwise."""
    with binarization_off(part.model):
        after = logits(part)
    if not torch.allclose(before, after, rtol=1e-5, atol=1e-5 * float(before.abs().max())):
        difference = float((before - after).abs().max())
        raise ModelError(f"conversion changed the float model's output by {difference:.2e}", REPORT)
