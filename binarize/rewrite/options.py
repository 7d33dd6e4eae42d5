"""How to convert: everything that a user may choose, checked when it is made."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from binarize import estimators
from binarize.errors import BinarizeError, did_you_mean
from binarize.layers import InputBinarizer, WeightBinarizer, activation, scale
from binarize.rewrite.surgery import STRUCTURES
from binarize.run import ConversionRecord, EstimatorSpec, LayerChoice, Stem
from binarize.run.edits import Edit

STEMS = ("auto", "keep", "cifar")


@dataclass(frozen=True)
class Options:
    """How to convert.

    Attributes:
        estimator: a name, or a mapping of "name" and constants.
        scale: a name of `layers.scale`.
        bases: how many binary weights add up to a layer's, 1 to 4; several for some scales alone.
        standardise: latent weights per output channel before the estimator.
        keep: globs on layer or module names that stay float.
        stem: "cifar" (3x3, no pooling), "keep", or "auto": "cifar" for random weights and images that are at
            most 64 pixels wide.
        include: globs on layers to binarize although a default rule would keep them; `keep` wins.
        submodule: the only part of the model to convert; None means all of it.
        activations: "float", "step" ({0, s}) or "sign" (±1): what a binary layer's input becomes.
        structure: "keep", "bireal" or "reactnet": surgery on the blocks around ±1 inputs.
        layers: other choices for some layers: "match" (a glob on layer names) and any of "estimator",
            "scale", "bases" and "standardise". Of several that match a layer, the last one counts.
    """

    estimator: EstimatorSpec | str | Mapping[str, Any] = "ab-tanh"
    scale: str = "channel"
    standardise: bool = True
    keep: tuple[str, ...] = ()
    stem: str = "auto"
    include: tuple[str, ...] = ()
    submodule: str | None = None
    activations: str = activation.FLOAT
    structure: str = "keep"
    layers: tuple[LayerChoice | Mapping[str, Any], ...] = ()
    bases: int = 1

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
                "add --activations sign, or omit --structure",
            )
        self.binarizer()
        for choice in self.choices:
            self._make(choice)

    @functools.cached_property
    def spec(self) -> EstimatorSpec:
        """The estimator in the one shape that it has everywhere else."""
        return EstimatorSpec.of(self.estimator)

    @functools.cached_property
    def choices(self) -> tuple[LayerChoice, ...]:
        """`layers` as records."""
        return tuple(
            one if isinstance(one, LayerChoice) else LayerChoice.model_validate(dict(one))
            for one in self.layers
        )

    @property
    def binary_inputs(self) -> bool:
        """Whether inputs become binary too (W1A1)."""
        return self.activations != activation.FLOAT

    def binarizer(self, layer: str = "") -> WeightBinarizer:
        """A new binarizer for the layer of that name. Raises EstimatorError or BinarizeError for unknown
        names."""
        return self._make(self.choice(layer))

    def choice(self, layer: str) -> LayerChoice | None:
        """The entry of `layers` that counts for a layer."""
        matching = (choice for choice in reversed(self.choices) if matches(layer, choice.match))
        return next(matching, None)

    def _make(self, choice: LayerChoice | None) -> WeightBinarizer:
        """A binarizer of these options, but for what `choice` says."""
        spec, by, bases, standardise = self.spec, self.scale, self.bases, self.standardise
        if choice is not None:
            spec = choice.estimator or spec
            by = choice.scale or by
            bases = choice.bases or bases
            standardise = standardise if choice.standardise is None else choice.standardise
        estimator = estimators.get(spec.name, **spec.constants)
        return WeightBinarizer(estimator, scale.get(by, bases), standardise)

    def input_binarizer(self, module: nn.Module, parameter: str) -> InputBinarizer | None:
        """A new binarizer for what `module.<parameter>` is multiplied by; None where that stays float."""
        if not self.binary_inputs:
            return None
        shape = module.get_parameter(parameter).shape
        channels = shape[1] * getattr(module, "groups", 1)
        return activation.TABLE[self.activations](channels, 1 - len(shape))


def matches(name: str, pattern: str) -> bool:
    """Whether a glob matches a layer by its name or by that of any module around it."""
    parts = name.split(".")
    around = (".".join(parts[: n + 1]) for n in range(len(parts)))
    return any(fnmatch.fnmatchcase(candidate, pattern) for candidate in around)


def options_of(record: ConversionRecord) -> Options:
    """The options that a run was converted with."""
    return Options(
        estimator=record.estimator,
        scale=record.scale,
        bases=record.bases,
        standardise=record.standardise,
        keep=tuple(record.keep),
        stem=record.stem,
        include=tuple(record.include),
        submodule=record.submodule,
        activations=record.activations,
        structure=record.structure,
        layers=tuple(record.layers),
    )


def record_of(
    options: Options, stem: Stem | None, parameters: list[str], edits: list[Edit]
) -> ConversionRecord:
    """What a run keeps of a conversion."""
    return ConversionRecord(
        estimator=options.spec,
        scale=options.scale,
        bases=options.bases,
        standardise=options.standardise,
        keep=list(options.keep),
        stem=options.stem,
        include=list(options.include),
        submodule=options.submodule,
        activations=options.activations,
        structure=options.structure,
        layers=list(options.choices),
        replaced_stem=stem,
        parameters=parameters,
        edits=edits,
    )
