"""Calibration: run images through a model and let each binary input choose its threshold, shift and scale.

Layers are calibrated in one pass, in the order in which they run: each sees what the layers before it
make of the image once they are binary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from binarize.layers.activation import IMBALANCED, InputBinarizer
from binarize.layers.swap import binary_inputs


@dataclass(frozen=True)
class Calibration:
    """What a calibration saw.

    Attributes:
        images: how many.
        imbalance: layer name -> share of the commoner value of its binary input, in the last batch.
    """

    images: int
    imbalance: dict[str, float]

    @property
    def imbalanced(self) -> dict[str, float]:
        """The layers whose binary input takes one value more than `IMBALANCED` of the time."""
        return {name: share for name, share in self.imbalance.items() if share > IMBALANCED}


@torch.no_grad()
def calibrate(model: nn.Module, batches: Iterable[Tensor]) -> Calibration:
    """Set what every binary input of `model` has to choose from batches of images [N, C, H, W].

    The model is left as it was otherwise: same mode, same statistics of its norms. Batch norms use the
    statistics of the batch where the model is in training mode.
    """
    inputs = dict(binary_inputs(model))
    buffers = {name: value.clone() for name, value in _statistics(model)}
    images = 0
    with _watched(inputs.values()):
        for binarizer in inputs.values():
            binarizer.start_calibration()
        try:
            for batch in batches:
                model(batch)
                images += len(batch)
        finally:
            for binarizer in inputs.values():
                binarizer.calibrating = False
            for name, value in _statistics(model):
                value.copy_(buffers[name])
        return Calibration(images, _shares(inputs))


@torch.no_grad()
def imbalance(model: nn.Module, batch: Tensor) -> dict[str, float]:
    """Layer name -> share of the commoner value of its binary input, for that batch of images."""
    inputs = dict(binary_inputs(model))
    with _watched(inputs.values()):
        model(batch)
        return _shares(inputs)


@contextlib.contextmanager
def _watched(inputs: Iterable[InputBinarizer]) -> Iterator[None]:
    inputs = list(inputs)
    for binarizer in inputs:
        binarizer.watching = True
    try:
        yield
    finally:
        for binarizer in inputs:
            binarizer.watching = False


def _shares(inputs: dict[str, InputBinarizer]) -> dict[str, float]:
    """A layer that did not run has no share."""
    shares = {name: binarizer.imbalance for name, binarizer in inputs.items()}
    return {name: share for name, share in shares.items() if share is not None}


def _statistics(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What a forward in training mode changes: the buffers that belong to no binary input."""
    for path, module in model.named_modules():
        if not isinstance(module, InputBinarizer):
            for name, value in module.named_buffers(recurse=False):
                yield f"{path}.{name}", value
