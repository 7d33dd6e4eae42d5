"""Parameters that take no part in a stage: processes that exchange gradients must not wait for theirs."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from binarize.models import logits_of
from binarize.training.accuracy import sum_over_processes
from binarize.training.device import TrainingLoader

IMAGES = 2
"""That the model is tried with; batch norms need more than one."""


def has_idle_parameters(
    model: nn.Module, loader: TrainingLoader, accelerator: Accelerator, layout: torch.memory_format
) -> bool:
    """Whether some parameter of `model` has no gradient as the model is now; False for a single process,
    which does not ask.

    Idle are layers that never run, heads of which training does not use the output, and what conversion
    added where it is switched off. All processes get the same answer. The generators are used: seed them
    afterwards.
    """
    if accelerator.num_processes == 1:
        return False
    images, _ = next(iter(loader))
    loader.end()
    some = images[:IMAGES].to(accelerator.device, memory_format=layout)
    found = torch.tensor([len(idle_parameters(model, some))], dtype=torch.float64)
    return sum_over_processes(found, accelerator)[0] > 0


def idle_parameters(model: nn.Module, images: Tensor) -> list[str]:
    """The parameters without a gradient, found by one pass forwards and backwards in training mode.

    Gradients that are there, and the statistics of batch norms, are left as they are.
    """
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    logits = logits_of(model.train()(images))
    gradients = torch.autograd.grad(logits.sum(), list(named.values()), allow_unused=True)
    with torch.no_grad():
        for name, value in model.named_buffers():
            value.copy_(buffers[name])
    return [name for name, gradient in zip(named, gradients, strict=True) if gradient is None]
