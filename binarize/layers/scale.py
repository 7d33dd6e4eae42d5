"""The scale s that binary weights are multiplied by: a function for each of `binarize.choices.SCALES`.

The name says where the gradient goes:

    channel            s[o] = mean |w[o] - mu[o]| (XNOR-Net, arXiv 1603.05279), held constant: no gradient
                       (as in Larq and in the code of IR-Net)
    channel-in-graph   the same s; its gradient reaches w (as in the code of ReSTE)
    layer              s = mean |w - mu| over the whole layer; no gradient
    power-of-two       s[o] = 2^round(log2 mean |w[o] - mu[o]|); no gradient. IR-Net's shift (arXiv
                       1909.10788), except that its code takes it of z, of which it is almost always 1
    learned            s[o] = |theta[o]|, a parameter that begins as `channel`; its gradient reaches theta
                       alone: dL/dtheta[o] = sum g·sign(z) over the channel, for theta > 0
    none               s = 1, for a normalisation that follows to absorb

Those that are a mean and have no gradient, `SEVERAL`, may be of several bases: see `layers.bases`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from binarize.choices import MOST_BASES, SCALES
from binarize.errors import BinarizeError, did_you_mean
from binarize.layers.bases import fit


def _per_channel(magnitude: Tensor) -> Tensor:
    return magnitude.mean(tuple(range(1, magnitude.ndim)), keepdim=True)


def _per_layer(magnitude: Tensor) -> Tensor:
    return magnitude.mean().reshape([1] * magnitude.ndim)


def _power_of_two(magnitude: Tensor) -> Tensor:
    return torch.exp2(torch.log2(_per_channel(magnitude)).round())


def _none(magnitude: Tensor) -> Tensor:
    return magnitude.new_ones([1] * magnitude.ndim)


IN_GRAPH, LEARNED, NONE = "channel-in-graph", "learned", "none"
NAMES = SCALES
TABLE: dict[str, Callable[[Tensor], Tensor]] = {
    "channel": _per_channel,
    IN_GRAPH: _per_channel,
    "layer": _per_layer,
    "power-of-two": _power_of_two,
    LEARNED: _per_channel,
    NONE: _none,
}
SEVERAL = ("channel", "layer")
"""Scales that several bases may have."""


@dataclass(frozen=True)
class Scale:
    """Centred latent weight [out, ...] -> s, [out, 1, ...] or [1, 1, ...]: see the head of this file.

    Of a learned scale this is where it begins; the parameter belongs to the `WeightBinarizer`. Several bases
    have a scale each, of a weight that is not centred: [bases, out, 1, ...] or [bases, 1, 1, ...].
    """

    name: str
    bases: int = 1

    @property
    def in_graph(self) -> bool:
        """Whether the gradient of s reaches the latent weight."""
        return self.name == IN_GRAPH

    @property
    def learned(self) -> bool:
        """Whether s is a parameter."""
        return self.name == LEARNED

    def __call__(self, centred: Tensor) -> Tensor:
        if self.bases > 1:
            return fit(centred.detach(), self.bases, TABLE[self.name])
        return TABLE[self.name]((centred if self.in_graph else centred.detach()).abs())


@dataclass(frozen=True)
class FixedScale:
    """A scale that is known already, [out, 1, ...] or [1, 1, ...], held constant."""

    value: Tensor

    in_graph = False

    def __call__(self, centred: Tensor) -> Tensor:
        return self.value


def get(name: str, bases: int = 1) -> Scale:
    """The scale of that name. Raises BinarizeError for a name that is not in `NAMES`, and for more bases
    than it or any scale can have."""
    if name not in TABLE:
        hint = did_you_mean(name, NAMES) or f"the scales are {', '.join(NAMES)}"
        raise BinarizeError(f'there is no scale "{name}"', hint)
    if not 1 <= bases <= MOST_BASES:
        raise BinarizeError(
            f"a weight cannot have {bases} bases", f"it takes from 1 to {MOST_BASES} of them"
        )
    if bases > 1 and name not in SEVERAL:
        raise BinarizeError(
            f'scale "{name}" cannot have {bases} bases',
            f"the scales of several bases are {' and '.join(SEVERAL)}",
        )
    return Scale(name, bases)
