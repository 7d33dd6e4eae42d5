"""The records that describe a model on disk, in run.json and in the metadata of an ONNX file.

Every field is typed and checked when it is read: a file that somebody else wrote is data, not trust. What a
record cannot say cannot be done: arguments are JSON values, a model's name is a library's name and never a
path or an address, and `models.arguments` decides which arguments a library's constructor is given.

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

import json
import time
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from typing_extensions import Self

from binarize.choices import MOST_BASES
from binarize.errors import BinarizeError
from binarize.filesize import words_of
from binarize.run.edits import Edit

FORMAT = 2
"""Of run.json and of a file's metadata. 1: binarize 0.1.0."""

Library = Literal["timm", "torchvision", "custom"]
CUSTOM: Literal["custom"] = "custom"
"""The library of a module that came from the caller's own code."""

LARGEST_PIXEL = 1e4
"""Of a mean or deviation of pixels, which are in [0, 1] or [0, 255]."""
SMALLEST_DEVIATION = 1e-4
LARGEST_SIZE = 4096
SMALLEST_CROP = 0.05
"""Of the side of an image. Of a smaller share every image would be resized to thousands of pixels first."""


Checked = TypeVar("Checked")


class InvalidRecord(ValueError):
    """A record that does not say what it has to: which field, and what is wrong with it."""


class Record(BaseModel):
    """Base of all records: unknown fields refused, no silent conversions, read-only."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )

    @classmethod
    def make(cls, **values: Any) -> Self:
        """The record of these values. Raises BinarizeError for one that a run must not hold."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise BinarizeError(problem_of(error), "give a value that a run can hold") from error

    def replace(self, **changes: Any) -> Self:
        """The same record with other values. Raises BinarizeError for one that a run must not hold."""
        return self.make(**{**dict(self), **changes})

    def to_json(self) -> dict[str, Any]:
        """Plain data that `json.dumps` takes."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The record in a JSON text. Raises InvalidRecord."""
        return cls.from_data(parse_json(text))

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """The record in plain data, as JSON has it. Raises InvalidRecord."""
        return checked(cls, data)


def checked(kind: type[Checked], data: Any) -> Checked:
    """Plain data, as JSON has it, as a record or another annotated class. Raises InvalidRecord."""
    try:
        text = json.dumps(data, allow_nan=False)
        return TypeAdapter(kind).validate_json(text, strict=True)  # JSON's lists may be tuples here
    except ValidationError as error:
        raise InvalidRecord(problem_of(error)) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidRecord("is not plain JSON, which has no NaN and no infinity") from error


def parse_json(text: str | bytes) -> Any:
    """The data of a JSON text. Raises InvalidRecord where it is none, or is nested without end."""
    try:
        data = json.loads(text)
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidRecord("is damaged: it holds half a character (a lone surrogate)") from error
    except (ValueError, RecursionError) as error:
        raise InvalidRecord("is damaged: it is not JSON") from error
    return data


def problem_of(error: ValidationError) -> str:
    """One sentence about the first thing that is wrong, with the number of others."""
    first, *others = error.errors(include_url=False, include_context=False)
    field = ".".join(map(str, first["loc"])) or "it"
    kind = first["type"]
    if kind == "missing":
        words = "is missing"
    elif kind == "extra_forbidden":
        words = "is not a field that this version knows"
    else:
        words = first["msg"].removeprefix("Value error, ")
        words = words.replace("Input should be", "should be")
    more = f" (and {len(others)} more)" if others else ""
    return f"{_printable(field)}: {_printable(words)}{more}"


def _printable(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= 160 else f"{shown[:159]}…"


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


class ModelSpec(Record):
    """A float architecture, as `models.create` builds it.

    Attributes:
        name: the library's own name for it, or of a custom module its class's name.
        library: "timm", "torchvision" or "custom" (the caller's own code, which nothing builds again).
        library_version: that it was made with.
        kwargs: arguments of the library's constructor, JSON values.
    """

    name: str = Field(min_length=1, max_length=200)
    library: Library
    library_version: str = ""
    kwargs: dict[str, JsonValue] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _no_place(cls, name: str) -> str:
        """A name that came with a file must not say where to fetch or open something."""
        if any(mark in name for mark in (":", "/", "\\")) or name.startswith("."):
            raise ValueError("should be a library's name for a model, not a path or an address")
        return name

    @property
    def title(self) -> str:
        """`timm/resnet18`."""
        return f"{self.library}/{self.name}"


PerChannel = Annotated[
    list[Annotated[float, Field(ge=-LARGEST_PIXEL, le=LARGEST_PIXEL)]],
    Field(min_length=1, max_length=16),
]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]


class Preprocess(Record):
    """What a network expects its images to look like.

    Attributes:
        img_size: width and height in pixels.
        mean, std: per channel, of images in [0, 1].
        interpolation: how images are resized.
        crop_pct: test images are resized to img_size / crop_pct, then cropped.
    """

    img_size: int = Field(ge=1, le=LARGEST_SIZE)
    mean: PerChannel
    std: PerChannel
    interpolation: Interpolation
    crop_pct: float = Field(ge=SMALLEST_CROP, le=4)

    @field_validator("std")
    @classmethod
    def _positive(cls, std: list[float]) -> list[float]:
        if min(std) < SMALLEST_DEVIATION:
            raise ValueError(f"should be numbers of at least {SMALLEST_DEVIATION:g}")
        return std

    @model_validator(mode="after")
    def _alike(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std should have a number for each channel")
        if self.img_size / self.crop_pct > 2 * LARGEST_SIZE:
            raise ValueError(f"img_size / crop_pct should be at most {2 * LARGEST_SIZE} pixels")
        return self


class DataRecord(Record):
    """The data that a model was trained on; both None where it was not."""

    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    dir: Annotated[str, Field(min_length=1, max_length=4096)] | None = None

    @field_validator("dir")
    @classmethod
    def _is_path(cls, path: str | None) -> str | None:
        if path is not None and "\0" in path:
            raise ValueError("should be a path, which holds no NUL")
        return path


Error = Annotated[float, Field(ge=0)]
PerCent = Annotated[float, Field(ge=0, le=100)]


class CurvePoint(Record):
    """A network on the way from the fewest bits to float.

    Attributes:
        bytes: of its packed file.
        agreement: per cent of the images held aside on which it answers as its float parent, after a short
            fit.
    """

    bytes: int = Field(ge=0, lt=1 << 63)
    agreement: PerCent


class AllocationRecord(Record):
    """How bits were allocated to layers; what came of it is in the conversion.

    Attributes:
        size: bytes of the packed file at most, or None.
        agreement: per cent at least, or None.
        bytes: of the packed file, as `export` writes it.
        steps: of the short fits behind `curve`.
        curve: networks of other sizes, and the one that was taken.
    """

    size: Annotated[int, Field(ge=1, lt=1 << 63)] | None = None
    agreement: PerCent | None = None
    bytes: int = Field(ge=0, lt=1 << 63)
    steps: int = Field(ge=0)
    curve: list[CurvePoint] = Field(default_factory=list)

    def lines(self) -> list[str]:
        """A sentence for the user."""
        goal = f"same answer on at least {self.agreement} % of images held aside"
        if self.size is not None:
            goal = f"a file of at most {words_of(self.size)}"
        return [f"bases and kept layers chosen for {goal}: {words_of(self.bytes)}"]


class FitRecord(Record):
    """How a binary network was fitted to its float parent, judged by images that it was not fitted on.

    Attributes:
        images, steps: what it was fitted on, and how often the optimiser stepped.
        seconds: that it took.
        error_before, error_after: the sum over the compared outputs of mean((h_b - h_f)²)/mean(h_f²).
        agreement_before, agreement_after: per cent of the images on which both networks have the same first
            answer; None for a network that does not answer with classes.
        outputs: module whose output was compared, "" for the logits -> its error before and after.
        allocation: how bits were allocated to layers first; None where that was the user's choice.
    """

    images: int = Field(ge=1)
    steps: int = Field(ge=0)
    seconds: float = Field(ge=0)
    error_before: Error
    error_after: Error
    agreement_before: PerCent | None = None
    agreement_after: PerCent | None = None
    outputs: dict[Annotated[str, Field(max_length=500)], tuple[Error, Error]] = Field(
        default_factory=dict
    )
    allocation: AllocationRecord | None = None

    def lines(self) -> list[str]:
        """Sentences for the user."""
        how = f"fitted on {self.images:,} images in {self.steps} steps"
        if not self.steps:
            how = f"batch norms measured on {self.images:,} images"
        found = self.allocation.lines() if self.allocation else []
        found += [
            f"{how}, {self.seconds:.0f} s: error {self.error_before:.3g} -> {self.error_after:.3g}"
        ]
        if self.agreement_before is not None and self.agreement_after is not None:
            found.append(
                f"same answer as the float model: {self.agreement_before:.1f} -> "
                f"{self.agreement_after:.1f} % of images held aside"
            )
        return found


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

    @classmethod
    def from_data(cls, data: Any) -> Self:
        return super().from_data(migrate(data, cls.what))


class RunInfo(Described):
    """The contents of run.json: all that is needed to build the same module again.

    Attributes:
        kind: "converted" or "trained".
        parent: the run this one started from, or None.
        created: seconds since the epoch; what "newest" means.
        fit: how it was fitted to its float parent, or None. Its latent weights are not the float ones then.
    """

    kind: Literal["converted", "trained"]
    parent: str | None = None
    created: float = Field(default_factory=time.time)
    fit: FitRecord | None = None

    what: ClassVar[str] = "the run"

    @property
    def has_random_weights(self) -> bool:
        """Whether nothing of it can have been trained."""
        return self.weights.startswith("random")

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
            f"format: {what} has format {_printable(repr(found))}; this version reads 1 to {FORMAT}"
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
