"""What run.json and the metadata of an ONNX file say of a model on disk.

    RunInfo            run.json
      ModelSpec        the float architecture: library, name, arguments
      ConversionRecord what was binarized and how; None for a float model
        EstimatorSpec  a name and constants
        LayerChoice    other choices for some layers
        Stem           the first convolution that was replaced
      Preprocess       what the network expects its images to look like
      DataRecord       the data that it was trained on
      FitRecord        how it was fitted to its float parent
        AllocationRecord how bits were allocated to its layers
    runtime.FileInfo   the metadata of an ONNX file, from the same parts

Records of an older format are migrated when they are read (`migrate`); writing uses the newest.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from binarize.run.conversion import ConversionRecord
from binarize.run.fit import FitRecord
from binarize.run.model import DataRecord, ModelSpec, Preprocess
from binarize.run.record import InvalidRecord, Record, printable

RANDOM, PRETRAINED = "random", "pretrained"
"""How `weights` begins where none were loaded, and where they are the library's."""

FORMAT = 2
"""Of run.json and of a file's metadata. 1: binarize 0.1.0."""


class Described(Record):
    """What run.json and a file's metadata have in common.

    Attributes:
        model: the float architecture.
        conversion: what was binarized, or None for a float model.
        weights: where the weights came from, in words.
        preprocess: what the network expects its images to look like.
        data: what it was trained on.
        classes: class names in the order of the logits; empty where unknown.
        format: of the record.
    """

    model: ModelSpec
    conversion: ConversionRecord | None = None
    weights: str
    preprocess: Preprocess
    data: DataRecord = Field(default_factory=DataRecord)
    classes: list[str] = Field(default_factory=list)
    format: int = FORMAT

    what: ClassVar[str] = "it"

    @property
    def has_library_classes(self) -> bool:
        """Whether its logits are those of the library's pretrained weights, whose classes have no names here:
        no others were asked for, and it was trained on none."""
        asked = "num_classes" in self.model.kwargs
        return self.weights.startswith(PRETRAINED) and not asked and not self.classes

    @classmethod
    def from_data(cls, data: Any) -> Self:
        return super().from_data(migrate(data, cls.what))


class RunInfo(Described):
    """The contents of run.json: all that is needed to build the same module again.

    Attributes:
        kind: "converted" or "trained".
        parent: the run this one started from, or None.
        code: where a module of the user's own code came from (`nets.py:make_net`), or None. It is shown and
            never opened.
        random: the layers whose weights were random when it began, although the others were not: a classifier
            for other classes, a replaced stem. Where `weights` are random, all are.
        created: seconds since the epoch; what "newest" means.
        fit: how it was fitted to its float parent, or None. Its latent weights are not the float ones then.
    """

    kind: Literal["converted", "trained"]
    parent: str | None = None
    code: Annotated[str, Field(max_length=4096)] | None = None
    random: list[str] = Field(default_factory=list)
    created: float = Field(default_factory=time.time)
    fit: FitRecord | None = None

    what: ClassVar[str] = "the run"

    @property
    def has_random_weights(self) -> bool:
        """Whether nothing of it had been trained when it began."""
        return self.weights.startswith(RANDOM)

    @property
    def weights_in_words(self) -> str:
        """`weights`, with the layers that they are not in: `pretrained (timm resnet18); random: fc`."""
        return f"{self.weights}; random: {', '.join(self.random)}" if self.random else self.weights

    @property
    def binary(self) -> bool:
        """Whether the model has any binary weight."""
        return self.conversion is not None and bool(self.conversion.parameters)

    def undone(self) -> RunInfo:
        """Of the float model behind this one, see `ConversionRecord.undone`."""
        return self.replace(conversion=self.conversion and self.conversion.undone(), fit=None)


def migrate(data: Any, what: str = "it") -> Any:
    """Plain data of an older format as the newest has it. Raises InvalidRecord for an unknown format."""
    if not isinstance(data, dict):
        raise InvalidRecord("should be a mapping of fields")
    found = data.get("format")
    if type(found) is not int or not 1 <= found <= FORMAT:
        raise InvalidRecord(
            f"format: {what} has format {printable(repr(found))}; this version reads 1 to {FORMAT}"
        )
    for number in range(found, FORMAT):
        data = _MIGRATIONS[number](data)
    return data


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Format 1 called `include` `force`, and its CIFAR ResNets padded shortcuts at the end alone."""
    conversion = data.get("conversion")
    if isinstance(conversion, dict) and "force" in conversion:
        conversion = {("include" if key == "force" else key): v for key, v in conversion.items()}
    model = data.get("model")
    if isinstance(model, dict) and model.get("name") == "cifar_resnet20":
        kwargs = model.get("kwargs")
        if isinstance(kwargs, dict):
            model = {**model, "kwargs": {"shortcut": "end", **kwargs}}
    return {**data, "conversion": conversion, "model": model, "format": 2}


_MIGRATIONS = {1: _from_1}
