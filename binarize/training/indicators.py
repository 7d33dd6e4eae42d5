"""Live indicators of a training: what the estimators do to the weights, layer by layer, once an epoch.

For a layer with latent weight w, its standardised form z, the estimator's surrogate f (f' its derivative)
at the progress of the last step, and L the loss:

    estimating_error     ||f(z) - sign(z)||_2         over all layers: the mean     ReSTE, arXiv 2308.06689
    gradient_stability   var(|dL/dw|), larger is less stable           the sum      ReSTE
    flip_ratio           share of sign(z) that changed since the last record        Larq's flip_ratio
    dead_weights         share of z with f'(z) = 0: no gradient passes them
    saturation           share of the commoner value of the layer's binary input

Of several bases (`layers.bases`) each has a z: estimating_error and flip_ratio are over all of them, and a
weight is dead where f' is 0 for all. flip_ratio and dead_weights of a model are shares of all its signs and
of all its binary weights; saturation is a layer's alone. What cannot be told is None, an empty field: all but
the saturation where a layer's weights are float in the stage, estimating_error where the source gives no f.
Nothing is computed while an epoch runs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from binarize.estimators import sign, widened
from binarize.layers import WeightBinarizer, adapters, binary_weights
from binarize.run.tables import LAYER, OF_WEIGHTS, SATURATION

SIGNIFICANT = 6

Number = float | None


class Indicators:
    """Remembers the signs of all binary weights of a model, to tell at each record which have changed.

    Made from the weights of a checkpoint it continues exactly as one that was there before, if records are
    made of the weights that the checkpoint holds: at the end of a stage, after `RunningStage.close`.
    """

    @torch.no_grad()
    def __init__(self, model: nn.Module) -> None:
        self._positive = {weight.name: weight.positive for weight in _weights(model)}
        self._stability: dict[str, Tensor] = {}

    @torch.no_grad()
    def read_gradients(self, model: nn.Module, scale: float = 1.0) -> None:
        """Take gradient_stability from the gradients that the parameters hold now.

        `scale`: what the gradients are still multiplied by (the loss scale of fp16, if not removed yet).
        """
        self._stability = {
            name: _variance(widened(weight.grad) / scale)
            for name, weight in _latent_weights(model)
            if weight.grad is not None
        }

    @torch.no_grad()
    def record(
        self, model: nn.Module, imbalance: Mapping[str, float] | None = None
    ) -> tuple[dict[str, Number], list[dict[str, Any]]]:
        """(what metrics.csv gets: `OF_WEIGHTS`, rows of indicators.csv without their epoch).

        Args:
            imbalance: layer name -> share of the commoner value of its binary input, where measured.

        The signs are remembered for the next record, the gradients forgotten.
        """
        seen = [self._inspect(weight) for weight in _weights(model)]
        self._stability = {}
        numbers = iter(_numbers([x for layer_sums in seen for x in layer_sums.sums.values()]))
        shares = imbalance or {}
        layers = [
            _Layer(
                layer_sums.name,
                layer_sums.count,
                layer_sums.signs,
                shares.get(layer_sums.name),
                **{key: next(numbers) for key in layer_sums.sums},
            )
            for layer_sums in seen
        ]
        return _over_all(layers), [layer.row() for layer in layers]

    def _inspect(self, weight: _Weight) -> _Sums:
        """One pass over one layer's weights; its sums stay on the device until all are made."""
        positive, before = weight.positive, self._positive[weight.name]
        self._positive[weight.name] = positive
        if not weight.binarizer.enabled:
            return _Sums(weight.name, 0, 0, {})
        sums = {
            "flipped": (positive != before).sum(),
            "dead": weight.dead.sum(),
            "error": weight.error,
            "stability": self._stability.get(weight.name),
        }
        known = {key: value for key, value in sums.items() if value is not None}
        return _Sums(weight.name, positive[0].numel(), positive.numel(), known)


@dataclass
class _Weight:
    """One binary weight of a model, looked at with its estimator at the progress that was set last.

    Attributes:
        z: of every base.
    """

    name: str
    z: list[Tensor]
    binarizer: WeightBinarizer

    @property
    def positive(self) -> Tensor:
        """bool[bases, …]."""
        return torch.stack([sign(z) > 0 for z in self.z])

    @property
    def error(self) -> Tensor | None:
        norms = []
        for z in self.z:
            f = self.binarizer.estimator.surrogate(*self._arguments(z))
            if f is None:
                return None
            norms.append(torch.linalg.vector_norm(f - sign(z)))
        return torch.linalg.vector_norm(torch.stack(norms))

    @property
    def dead(self) -> Tensor:
        """bool[…]: no base passes a gradient."""
        slopes = (self.binarizer.estimator.surrogate_grad(*self._arguments(z)) == 0 for z in self.z)
        return functools.reduce(torch.logical_and, slopes)

    def _arguments(self, z: Tensor) -> tuple[Any, ...]:
        """z, the progress and the layer's own values: what f and f' are functions of."""
        return z, self.binarizer.progress, *self.binarizer.own(z)


@dataclass
class _Sums:
    """What one pass over a layer saw. `count`, `signs`: its binary weights, and the signs of all their bases;
    `sums`: scalars on the device."""

    name: str
    count: int
    signs: int
    sums: dict[str, Tensor]


@dataclass
class _Layer:
    """The same as numbers; None for what cannot be told."""

    name: str
    count: int
    signs: int
    imbalance: Number = None
    flipped: float = 0.0
    dead: float = 0.0
    error: Number = None
    stability: Number = None

    def row(self) -> dict[str, Any]:
        values = _over_all([self]) | {SATURATION: _short(self.imbalance)}
        return {LAYER: self.name, **values}


def _numbers(sums: list[Tensor]) -> list[float]:
    """One transfer from the device for all of them."""
    return torch.stack([value.float() for value in sums]).tolist() if sums else []


def _over_all(layers: list[_Layer]) -> dict[str, Number]:
    """The indicators of these layers together, as the head of this file says."""
    count, signs = sum(layer.count for layer in layers), sum(layer.signs for layer in layers)
    errors = [layer.error for layer in layers if layer.error is not None]
    stabilities = [layer.stability for layer in layers if layer.stability is not None]
    values = (
        sum(errors) / len(errors) if errors else None,
        sum(stabilities) if stabilities else None,
        sum(layer.flipped for layer in layers) / signs if signs else None,
        sum(layer.dead for layer in layers) / count if count else None,
    )
    return {name: _short(value) for name, value in zip(OF_WEIGHTS, values, strict=True)}


def _short(value: Number) -> Number:
    """With `SIGNIFICANT` digits; None where it is no finite number, as after an overflow of fp16."""
    return float(f"{value:.{SIGNIFICANT}g}") if value is not None and math.isfinite(value) else None


def _variance(grad: Tensor) -> Tensor:
    """Of |grad|, unbiased as in the code of ReSTE; a single weight has none: 0."""
    return grad.abs().var(correction=min(1, grad.numel() - 1))


def _latent_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, module, parameter, _ in binary_weights(model):
        yield name, _latent(module, parameter)


def _latent(module: nn.Module, parameter: str) -> Tensor:
    latent = module._parameters[parameter]
    assert latent is not None
    return latent


def _weights(model: nn.Module) -> Iterator[_Weight]:
    """Every binary weight: what of the latent weight is binarized depends on the class of its module."""
    for name, module, parameter, binarizer in binary_weights(model):
        float_class = getattr(type(module), "_float_class", type(module))
        latent, _ = adapters.find(float_class).weight(module, _latent(module, parameter))
        yield _Weight(name, binarizer.standardised(latent), binarizer)
