"""Batch norms: measured again at the end of a stage, and synchronised over processes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from accelerate import Accelerator
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from binarize.errors import TrainingError
from binarize.recipe.schema import Engine
from binarize.training.device import TrainingLoader


def reestimate(
    model: nn.Module,
    loader: TrainingLoader,
    images: int,
    accelerator: Accelerator,
    layout: torch.memory_format,
) -> None:
    """Set the statistics of all batch norms to the mean over about so many training images, in place of
    the running average over weights that have changed since. Each process takes its share of them.
    """
    share = -(-images // accelerator.num_processes)
    update_bn(_images(loader, share, accelerator.device, layout), model)
    loader.end()


def _images(
    loader: TrainingLoader, count: int, device: torch.device, layout: torch.memory_format
) -> Iterator[Tensor]:
    seen = 0
    for batch, _ in loader:
        yield batch.to(device, memory_format=layout, non_blocking=True)
        seen += len(batch)
        if seen >= count:
            return


def synchronised(model: nn.Module, config: Engine, accelerator: Accelerator) -> nn.Module:
    """`model`, with batch norms that share their statistics where the recipe wants it and there is more
    than one process. Raises TrainingError on CPUs, for which torch has none."""
    if not config.sync_norms or accelerator.num_processes == 1:
        return model
    if accelerator.device.type == "cpu":
        raise TrainingError(
            "engine.sync_norms needs GPUs: torch has no synchronised batch norm for CPUs",
            "omit it: --set engine.sync_norms=false",
        )
    return convert_sync_batchnorm(model)
