"""The float parent: what it returns for the images that its binary network is fitted on."""

from __future__ import annotations

import torch
from torch import Tensor

from binarize.fitting.outputs import Outputs, Watched

LARGEST = 2 << 30
"""Bytes of outputs that are kept; where there would be more, they are computed each time."""


class Parent:
    """The outputs of a float network in eval mode, computed once for each image where memory allows.

    Args:
        network: the float network and the modules to look at.
        images: how many there are.
        largest: bytes that may be kept.
    """

    def __init__(self, network: Watched, images: int, largest: int = LARGEST) -> None:
        self._network, self._images, self._largest = network, images, largest
        self._kept: dict[str, list[Tensor]] | None = None
        self._known = torch.zeros(images, dtype=torch.bool)
        network.model.eval()

    @torch.no_grad()
    def __call__(self, numbers: Tensor, images: Tensor) -> Outputs:
        """The outputs for `images` [N, C, H, W], which are those of the numbers [N]."""
        if self._kept is not None and bool(self._known[numbers].all()):
            return {name: [one[numbers] for one in every] for name, every in self._kept.items()}
        found = self._network.outputs(images)
        self._keep(numbers, found)
        return found

    def _keep(self, numbers: Tensor, found: Outputs) -> None:
        if self._kept is None:
            if not self._fits(len(numbers), found):
                return
            self._kept = {
                name: [_empty(self._images, one) for one in every] for name, every in found.items()
            }
        for name, every in found.items():
            for kept, one in zip(self._kept[name], every, strict=True):
                kept[numbers] = one
        self._known[numbers] = True

    def _fits(self, batch: int, found: Outputs) -> bool:
        """An output that holds an image in several places of its first axis, as windows of attention are,
        cannot be kept by image."""
        tensors = [one for every in found.values() for one in every]
        if any(one.ndim == 0 or len(one) != batch for one in tensors):
            return False
        size = sum(one.numel() * one.element_size() for one in tensors) // batch
        return size * self._images <= self._largest


def _empty(images: int, like: Tensor) -> Tensor:
    """[images, ...], in the memory order of `like`."""
    layout = torch.contiguous_format
    if like.ndim == 4 and like.is_contiguous(memory_format=torch.channels_last):
        layout = torch.channels_last
    return like.new_empty(images, *like.shape[1:]).contiguous(memory_format=layout)
