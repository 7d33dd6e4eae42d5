"""The scale s that binary weights are multiplied by. One line of the table is one choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from binarize.errors import BinarizeError, did_you_mean


def _per_channel(magnitude: Tensor) -> Tensor:
    return magnitude.mean(tuple(range(1, magnitude.ndim)), keepdim=True)


def _per_layer(magnitude: Tensor) -> Tensor:
    return magnitude.mean().reshape([1] * magnitude.ndim)


def _none(magnitude: Tensor) -> Tensor:
    return magnitude.new_ones([1] * magnitude.ndim)


TABLE: dict[str, Callable[[Tensor], Tensor]] = {
    "channel": _per_channel,
    "layer": _per_layer,
    "none": _none,
}
NAMES = tuple(TABLE)


@dataclass(frozen=True)
class Scale:
    """Centred latent weight [out, ...] -> s, broadcastable to it; never in the graph (detached).

    Per channel: s[o] = mean |w[o] - mu[o]| (XNOR-Net, arXiv 1603.05279). Per layer: the mean of
    |w - mu| over all of it. None: s = 1, for a normalisation that follows to absorb.
    """

    name: str

    def __call__(self, centred: Tensor) -> Tensor:
        return TABLE[self.name](centred.detach().abs())


def get(name: str) -> Scale:
    """The scale of that name. Raises BinarizeError for a name that is not in `NAMES`."""
    if name not in TABLE:
        hint = did_you_mean(name, NAMES) or f"the scales are {', '.join(NAMES)}"
        raise BinarizeError(f'there is no scale "{name}"', hint)
    return Scale(name)
