"""The record of a conversion: what was binarized and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from binarize.choices import MOST_BASES
from binarize.run.edits import Edit
from binarize.run.record import Record


def _is_constant(value: Any) -> Any:
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise ValueError("should be a number, a word, true, false or null")
    return value


class EstimatorSpec(Record):
    """An estimator by its name; all other keys are its constants: `{"name": "ab-tanh", "a_end": 0.8}`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_is_constant)]]

    name: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def of(cls, estimator: EstimatorSpec | str | Mapping[str, Any]) -> EstimatorSpec:
        """The one shape of an estimator, from a name, a mapping of "name" and constants, or itself."""
        if isinstance(estimator, EstimatorSpec):
            return estimator
        return cls.model_validate(estimator if isinstance(estimator, str) else dict(estimator))

    @property
    def constants(self) -> dict[str, Any]:
        """The constants that were given, as `binarize.estimators.get` takes them."""
        return dict(self.__pydantic_extra__ or {})

    def __str__(self) -> str:
        """`ab-tanh, a_end = 0.8`."""
        return ", ".join(
            [self.name, *(f"{key} = {value}" for key, value in self.constants.items())]
        )


class Stem(Record):
    """The first convolution that was replaced by a small one, and the pooling behind it (None: none)."""

    conv: str
    pool: str | None


Bases = Annotated[int, Field(ge=1, le=MOST_BASES)]


class LayerChoice(Record):
    """Other choices for the layers whose name matches a glob; None: those of the conversion."""

    match: str = Field(min_length=1)
    estimator: EstimatorSpec | None = None
    scale: str | None = None
    bases: Bases | None = None
    standardise: bool | None = None


Word = Annotated[str, Field(max_length=64)]
"""One of the words that options are chosen by; which ones there are, `rewrite.Options` knows."""


class ConversionRecord(Record):
    """What was binarized and how: enough to do it again on a fresh module.

    Attributes:
        estimator … layers: see `rewrite.Options`.
        replaced_stem: what the conversion put in the place of the first convolution.
        parameters: the weights that are binary, under all their names.
        edits: of block surgery, in order.
        learned_inputs: thresholds and shifts came from an earlier training.
    """

    estimator: EstimatorSpec
    scale: Word
    bases: Bases = 1
    standardise: bool
    keep: list[str] = Field(default_factory=list)
    stem: Word = "auto"
    include: list[str] = Field(default_factory=list)
    submodule: Annotated[str, Field(max_length=500)] | None = None
    activations: Word = "float"
    structure: Word = "keep"
    layers: list[LayerChoice] = Field(default_factory=list)
    replaced_stem: Stem | None = None
    parameters: list[str] = Field(default_factory=list)
    edits: list[Edit] = Field(default_factory=list)
    learned_inputs: bool = False

    @property
    def binary_inputs(self) -> bool:
        return self.activations != "float"

    def undone(self) -> ConversionRecord | None:
        """Of the float model behind it: a replaced stem stays replaced, all else is as it was; None where
        nothing is left of the conversion."""
        if self.replaced_stem is None:
            return None
        return self.replace(parameters=[], edits=[])
