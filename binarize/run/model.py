"""The records of a float model: its architecture, the images it expects, the data it was trained on.

What these cannot say cannot be done: arguments are JSON values, a model's name is a library's name and never
a path or an address, and `models.arguments` decides which arguments a library's constructor is given.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from binarize import imgsize
from binarize.choices import OnError
from binarize.imgsize import LARGEST_SIZE, ImgSize
from binarize.run.record import Record

Library = Literal["timm", "torchvision", "custom"]
CUSTOM: Literal["custom"] = "custom"
"""The library of a module that came from the caller's own code."""

LARGEST_PIXEL = 1e4
"""Of a mean or deviation of pixels, which are in [0, 1] or [0, 255]."""
SMALLEST_DEVIATION = 1e-4
SMALLEST_CROP = 0.05
"""Of the side of an image. Of a smaller share every image would be resized to thousands of pixels first."""


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
        img_size: pixels: of a square's side, or (height, width).
        mean, std: per channel, of images in [0, 1].
        interpolation: how images are resized.
        crop_pct: test images are resized to img_size / crop_pct, then cropped.
    """

    img_size: Annotated[ImgSize, BeforeValidator(imgsize.img_size_of)]
    mean: PerChannel
    std: PerChannel
    interpolation: Interpolation
    crop_pct: float = Field(ge=SMALLEST_CROP, le=4)

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return imgsize.height_width(self.img_size)

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
        if max(self.sides) / self.crop_pct > 2 * LARGEST_SIZE:
            raise ValueError(f"img_size / crop_pct should be at most {2 * LARGEST_SIZE} pixels")
        return self


class DataRecord(Record):
    """The data that a model was trained on; name and directory None where it was not.

    Attributes:
        holdout: how many of the training images were set aside, or below 1 their share.
        images: how many there were, where some were set aside: of other images they would be others.
        on_error: "skip" where images that cannot be read were left out, else "stop".
    """

    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    dir: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    holdout: Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0, lt=1)] = 0
    images: Annotated[int, Field(ge=0)] | None = None
    on_error: OnError = "stop"

    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Where nothing is set aside or left out, nothing is said of it, as in runs before there were these
        fields."""
        written: dict[str, Any] = write(self)
        for name, usual in (("holdout", 0), ("images", None), ("on_error", "stop")):
            if written[name] == usual:
                del written[name]
        return written

    @field_validator("dir")
    @classmethod
    def _is_path(cls, path: str | None) -> str | None:
        if path is not None and "\0" in path:
            raise ValueError("should be a path, which holds no NUL")
        return path
