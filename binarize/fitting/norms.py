"""Batch norms of a network that is fitted: the mode that they are in, and their statistics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from binarize.layers import added_modules

MOMENTUM = 0.1
"""While a network is fitted. EfficientNets bring 0.01: after 100 steps they would still have the statistics
of the float network."""


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Those that keep running statistics."""
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]


@contextlib.contextmanager
def learning(model: nn.Module) -> Iterator[None]:
    """`model` as it is fitted: norms use the statistics of the batch and follow them; all else is as in eval
    mode, so that nothing is dropped at random and no second head answers. It ends in eval mode."""
    model.eval()
    with _momentum(batch_norms(model), MOMENTUM):
        for module in (*batch_norms(model), *added_modules(model)):
            module.train()
        yield
    model.eval()


@contextlib.contextmanager
def measuring(model: nn.Module) -> Iterator[None]:
    """Statistics begin anew, and become the mean over all batches that `model` is run on in the block. It
    ends in eval mode."""
    model.eval()
    with _momentum(batch_norms(model), None):
        for norm in batch_norms(model):
            norm.reset_running_stats()
            norm.train()
        yield
    model.eval()


@contextlib.contextmanager
def of_batches(model: nn.Module) -> Iterator[None]:
    """Norms use the statistics of the batch in the block; their own stay. It ends in eval mode."""
    norms = batch_norms(model.eval())
    try:
        for norm in norms:
            norm.train()
            norm.track_running_stats = False
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        model.eval()


@contextlib.contextmanager
def _momentum(norms: list[_BatchNorm], value: float | None) -> Iterator[None]:
    before = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = value
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
