"""How to convert: everything that a user may choose, checked when it is made."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from binarize import estimators
from binarize.errors import BinarizeError, did_you_mean
from binarize.layers import InputBinarizer, WeightBinarizer, activation, scale
from binarize.rewrite.surgery import STRUCTURES

STEMS = ("auto", "keep", "cifar")


@dataclass(frozen=True)
class Options:
    """How to convert.

    Attributes:
        estimator: a name, or a mapping of "name" and constants.
        scale: a name of `layers.scale`.
        standardise: latent weights per output channel before the estimator.
        keep: globs on layer or module names that stay float.
        stem: "auto" (3x3, no pooling where images are at most 64 pixels wide), "keep" or "cifar".
        force: globs on layers to binarize although a default rule would keep them; `keep` wins.
        submodule: the only part of the model to convert; None means all of it.
        activations: "float", "step" ({0, s}) or "sign" (±1): what a binary layer's input becomes.
        structure: "keep", "bireal" or "reactnet": surgery on the blocks around ±1 inputs.
        layers: other choices for some layers: mappings of "match" (a glob on layer names) and any of
            "estimator", "scale" and "standardise". Of several that match a layer, the last one counts.
    """

    estimator: str | Mapping[str, Any] = "ab-tanh"
    scale: str = "channel"
    standardise: bool = True
    keep: tuple[str, ...] = ()
    stem: str = "auto"
    force: tuple[str, ...] = ()
    submodule: str | None = None
    activations: str = activation.FLOAT
    structure: str = "keep"
    layers: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.stem not in STEMS:
            raise BinarizeError(
                f'there is no stem "{self.stem}"',
                did_you_mean(self.stem, STEMS) or f"the stems are {', '.join(STEMS)}",
            )
        activation.check(self.activations)
        if self.structure not in STRUCTURES:
            raise BinarizeError(
                f'there is no structure "{self.structure}"',
                did_you_mean(self.structure, STRUCTURES)
                or f"the structures are {', '.join(STRUCTURES)}",
            )
        if self.structure != "keep" and self.activations != "sign":
            raise BinarizeError(
                f'structure "{self.structure}" is made for ±1 inputs, not for {self.activations} ones',
                "add --activations sign, or leave --structure away",
            )
        self.binarizer()
        for choice in self.layers:
            self._make(choice)

    @property
    def binary_inputs(self) -> bool:
        """Whether inputs become binary too (W1A1)."""
        return self.activations != activation.FLOAT

    @property
    def estimator_name(self) -> str:
        return self.estimator if isinstance(self.estimator, str) else self.estimator["name"]

    def binarizer(self, layer: str = "") -> WeightBinarizer:
        """A new binarizer for the layer of that name. Raises EstimatorError or BinarizeError for unknown
        names."""
        return self._make(self.choice(layer))

    def choice(self, layer: str) -> Mapping[str, Any]:
        """The entry of `layers` that counts for a layer, or an empty mapping."""
        matching = (choice for choice in reversed(self.layers) if matches(layer, choice["match"]))
        return next(matching, {})

    def _make(self, choice: Mapping[str, Any]) -> WeightBinarizer:
        """A binarizer of these options, but for what `choice` says."""
        chosen = {name: choice.get(name) for name in ("estimator", "scale", "standardise")}
        made = {k: getattr(self, k) if v is None else v for k, v in chosen.items()}
        estimator, by = _estimator(made["estimator"]), scale.get(made["scale"])
        return WeightBinarizer(estimator, by, made["standardise"])

    def input_binarizer(self, module: nn.Module, parameter: str) -> InputBinarizer | None:
        """A new binarizer for what `module.<parameter>` is multiplied by; None where that stays float."""
        if not self.binary_inputs:
            return None
        shape = module._parameters[parameter].shape
        channels = shape[1] * getattr(module, "groups", 1)
        return activation.TABLE[self.activations](channels, 1 - len(shape))


def _estimator(wanted: str | Mapping[str, Any]) -> estimators.Estimator:
    """The estimator that a name means, or a mapping of "name" and constants."""
    if isinstance(wanted, str):
        return estimators.get(wanted)
    return estimators.get(**wanted)


def matches(name: str, pattern: str) -> bool:
    """Whether a glob matches a layer by its name or by that of any module around it."""
    parts = name.split(".")
    around = (".".join(parts[: n + 1]) for n in range(len(parts)))
    return any(fnmatch.fnmatchcase(candidate, pattern) for candidate in around)


def options_of(conversion: Mapping[str, Any]) -> Options:
    """The options that a run was converted with; runs of earlier versions lack the later ones."""
    names = ("estimator", "scale", "standardise", "stem")
    return Options(
        keep=tuple(conversion["keep"]),
        force=tuple(conversion.get("force", ())),
        submodule=conversion.get("submodule"),
        activations=conversion.get("activations", activation.FLOAT),
        structure=conversion.get("structure", "keep"),
        layers=tuple(conversion.get("layers", ())),
        **{name: conversion[name] for name in names},
    )
