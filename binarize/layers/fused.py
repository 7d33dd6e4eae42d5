"""Latent weight -> binary weight as one node of the graph.

    forward     mu = mean of w per output channel,   c = w - mu,   s = scale(c),   w_b = gain·s·sign(c)
    backward    d = g·f'(z),   A = gain·s/(sigma + eps),   z = c/(sigma + eps)
                dL/dw     = A·(d - mean d) - A·(sigma + eps)/((n - 1)·sigma)·z·sum(d·z)
                dL/dgain  = s·sum g·sign(z)               dL/dtheta = sum gain·s·g·df/dtheta(z)
                s in the graph adds c' - mean c' to dL/dw, c' = sign(z)/n·gain·sum g·sign(z)

over the n weights of an output channel; where nothing is standardised, mu = 0, z = c = w and
dL/dw = gain·s·d (+ c'). It is what autograd makes of the same equations step by step, at a fraction of
the time and of the memory: the backward keeps the latent weight itself, which is there anyway, and vectors
of one value per output channel. z, sign and slope are made again from them.

Several bases (`layers.bases`) are so many nodes, each on what those before it leave, with mu = 0. From the
last base to the first, with the scales held constant, sigma_k² = sum r_k²/(n - 1), and G_K+1 = 0:

    z_k = r_k/(sigma_k + eps),   e_k = gain·g - G_k+1,   d_k = e_k·f'(z_k)
    G_k = G_k+1 + s_k/(sigma_k + eps)·(d_k - (sigma_k + eps)/((n - 1)·sigma_k)·z_k·sum(d_k·z_k))
    dL/dw = G_1                    dL/dtheta = sum s_k·e_k·df/dtheta(z_k) over weights and bases

e_k is what the bases behind k leave to it. But for sigma, G_1 = gain·g·(1 - (1 - a_1)···(1 - a_K)) with a_k =
s_k·f'(z_k)/sigma_k: where f is the identity and weights are normally distributed, .80 of the gradient for
one base and .99 for two, so that more bases are closer to the float weight in the backward too.

One thing differs: a channel whose weights are all the same (zero-initialised, pruned) has sigma = 0, and with
it no gradient, for s = 0, or an infinite one, for any other s. It gets that of a channel with s = sigma
instead, about what normally distributed weights of any size have, at z = 0: A = gain. Where nothing is
standardised, that is a channel of zeros, and s = 1. So it leaves the place where it is stuck.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from binarize.estimators import Estimator, sign, widened
from binarize.estimators.base import learned_grads
from binarize.layers.scale import FixedScale, Scale

EPSILON = 1e-8
FLAT = 1e-6
"""Of |mu|: weights that deviate less are all the same but for the rounding of mu."""


@dataclass(frozen=True)
class BinarizeConfig:
    """What makes a binary weight of a latent one.

    Attributes:
        standardise: False: z = w.
        centre: False: mu = 0, and z = w/sigma where `standardise` is True.
    """

    estimator: Estimator
    scale: Scale | FixedScale
    standardise: bool
    centre: bool = True


def binary_weight(
    latent: Tensor, gain: Tensor | None, config: BinarizeConfig, progress: float, *learned: Tensor
) -> Tensor:
    """gain·s·sign(z), of the shape and dtype of `latent` [out, ...]; float32 inside where that is narrower.

    `gain` broadcasts to [out, 1, ...]; `learned`: the estimator's own parameters. All three get gradients.
    """
    if isinstance(config.scale, FixedScale) or config.scale.bases == 1:
        return _BinaryWeight.apply(latent, gain, config, progress, *learned)
    weight = _sum_of_bases(widened(latent), config, progress, *learned)
    return (weight if gain is None else weight * gain).to(latent.dtype)


def _sum_of_bases(w: Tensor, config: BinarizeConfig, progress: float, *learned: Tensor) -> Tensor:
    """sum s_k·sign(r_k), one node a base. The first is that of a weight with one base and the scale s_1. In
    those behind it, s_k stands where a gain does: where nothing is left, a base adds and learns nothing."""
    first, *others = config.scale(w).unbind()
    config = replace(config, scale=FixedScale(first), centre=False)
    weight = base = _BinaryWeight.apply(w, None, config, progress, *learned)
    config = replace(config, scale=FixedScale(torch.ones_like(first)))
    rest = w
    for scale in others:
        rest = rest - base
        base = _BinaryWeight.apply(rest, scale, config, progress, *learned)
        weight = weight + base
    return weight


def centred(latent: Tensor, standardise: bool) -> Tensor:
    """w - mu; w itself where nothing is standardised or the fan-in is below 2."""
    return latent - mean(latent) if is_standardised(latent, standardise) else latent


def is_standardised(latent: Tensor, standardise: bool) -> bool:
    return standardise and latent[0].numel() > 1


def deviation(c: Tensor) -> Tensor:
    """sigma [out, 1, ...] of c = w - mu, unbiased. (On a CPU, `c.std` takes forty times as long.)"""
    return torch.linalg.vector_norm(c, 2, _inner(c), keepdim=True) / (c[0].numel() - 1) ** 0.5


def mean(w: Tensor) -> Tensor:
    """Per output channel, [out, 1, ...]."""
    return w.mean(_inner(w), keepdim=True)


def _inner(w: Tensor) -> tuple[int, ...]:
    return tuple(range(1, w.ndim))


class _BinaryWeight(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        latent: Tensor,
        gain: Tensor | None,
        config: BinarizeConfig,
        progress: float,
        *learned: Tensor,
    ) -> Tensor:
        w = widened(latent)
        standard = is_standardised(w, config.standardise)
        mu = mean(w) if standard and config.centre else w.new_zeros(())
        c = w - mu
        scale = config.scale(c)
        ctx.config, ctx.progress = config, progress
        ctx.save_for_backward(latent, mu, scale, gain, *learned)
        factor = scale if gain is None else scale * gain
        return sign(c).mul_(factor).to(latent.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        latent, mu, scale, gain, *learned = ctx.saved_tensors
        config = ctx.config
        c, g = widened(latent) - mu, widened(grad)
        factor = scale if gain is None else scale * gain
        standard = is_standardised(c, config.standardise)
        sigma = deviation(c) if standard else None
        equal = scale == 0 if sigma is None else sigma <= FLAT * mu.abs()
        alone = 1.0 if gain is None else gain
        to_scale = _along_signs(g, c) if gain is not None or config.scale.in_graph else None
        to_gain = _like(to_scale * scale, gain) if ctx.needs_input_grad[1] else None
        share = None
        if to_scale is not None and config.scale.in_graph:
            share = _share(c, to_scale if gain is None else to_scale * gain)
        spread = None if sigma is None else torch.where(equal, math.inf, sigma + EPSILON)
        z = c if spread is None else c.div_(spread)
        own = config.estimator.own(z, ctx.progress, learned)
        to_learned = (
            learned_grads(config.estimator, g * factor, z, ctx.progress, own) if learned else []
        )
        d = config.estimator.surrogate_grad(z, ctx.progress, *own) * g
        if sigma is None or spread is None:
            to_latent = d.mul_(torch.where(equal, alone, factor))
        else:
            inner = (d * z).sum(_inner(d), keepdim=True) * factor / ((d[0].numel() - 1) * sigma)
            slow = torch.where(equal, alone, factor / spread)
            offset = slow * mean(d) if config.centre else None
            to_latent = _through_z(d, z, slow, offset, torch.where(equal, 0, inner))
        if share is not None:
            to_latent.add_(share - mean(share) if standard else share)
        return to_latent.to(latent.dtype), to_gain, None, None, *to_learned


def _through_z(d: Tensor, z: Tensor, slow: Tensor, offset: Tensor | None, inner: Tensor) -> Tensor:
    """dL/dw from d = g·f'(z) through z (slow: A), mu (offset) and sigma (inner: what z is multiplied by).
    Overwrites d and z."""
    d = d.mul_(slow)
    return (d if offset is None else d.sub_(offset)).sub_(z.mul_(inner))


def _along_signs(g: Tensor, c: Tensor) -> Tensor:
    """sum g·sign(c) per output channel."""
    return sign(c).mul_(g).sum(_inner(c), keepdim=True)


def _share(c: Tensor, to_scale: Tensor) -> Tensor:
    """What each weight gets of the gradient of mean |c|."""
    return sign(c).mul_(to_scale / c[0].numel())


def _like(grad: Tensor, gain: Tensor) -> Tensor:
    """Summed over what `gain` was broadcast along."""
    return grad.sum_to_size(gain.shape).to(gain.dtype)
