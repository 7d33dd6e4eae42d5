"""How to convert: everything that a user may choose, checked when it is made."""

from __future__ import annotations

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

    @property
    def binary_inputs(self) -> bool:
        """Whether inputs become binary too (W1A1)."""
        return self.activations != activation.FLOAT

    @property
    def estimator_name(self) -> str:
        return self.estimator if isinstance(self.estimator, str) else self.estimator["name"]

    def binarizer(self) -> WeightBinarizer:
        """A new binarizer of these options. Raises EstimatorError or BinarizeError for unknown names."""
        constants = {} if isinstance(self.estimator, str) else dict(self.estimator)
        constants.pop("name", None)
        estimator = estimators.get(self.estimator_name, **constants)
        return WeightBinarizer(estimator, scale.get(self.scale), self.standardise)

    def input_binarizer(self, module: nn.Module, parameter: str) -> InputBinarizer | None:
        """A new binarizer for what `module.<parameter>` is multiplied by; None where that stays float."""
        if not self.binary_inputs:
            return None
        shape = module._parameters[parameter].shape
        channels = shape[1] * getattr(module, "groups", 1)
        return activation.TABLE[self.activations](channels, 1 - len(shape))


def options_of(conversion: Mapping[str, Any]) -> Options:
    """The options that a run was converted with; runs of earlier versions lack the later ones."""
    names = ("estimator", "scale", "standardise", "stem")
    return Options(
        keep=tuple(conversion["keep"]),
        force=tuple(conversion.get("force", ())),
        submodule=conversion.get("submodule"),
        activations=conversion.get("activations", activation.FLOAT),
        structure=conversion.get("structure", "keep"),
        **{name: conversion[name] for name in names},
    )
