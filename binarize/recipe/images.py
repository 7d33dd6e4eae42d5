"""The sections that say which images, and how they are fed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from binarize.choices import MOST_WORKERS, OnError
from binarize.imgsize import LARGEST_SIZE, ImgSize, written_img_size
from binarize.recipe.section import Named, Pair, PerChannel, Section, Share, key
from binarize.run.model import SMALLEST_CROP

FOLDER = "folder"
LIST = "csv"
FILES = (FOLDER, LIST)

_Side = Annotated[int, Field(ge=1, le=LARGEST_SIZE)]
_SIZE = BeforeValidator(
    lambda size: None if size is None else written_img_size(size),
    json_schema_input_type=_Side
    | Annotated[list[_Side], Field(min_length=2, max_length=2)]
    | Annotated[str, Field(pattern=r"^\d+x\d+$")]
    | None,
)


class Augment(Section):
    """Random changes to training images. All are off by default; test images are never changed."""

    hflip: Share = key("horizontal flip", 0.0, unit="probability")
    vflip: Share = key("vertical flip", 0.0, unit="probability")
    scale: Pair | None = key(
        "`[low, high]`: random resized crop of that share of the image; `null`: none",
        None,
        unit="share of the area",
    )
    ratio: Pair = key(
        "`[low, high]`: shape of that crop", lambda: [3 / 4, 4 / 3], unit="width / height"
    )
    crop_padding: int = key(
        "pad by this much on every side, then crop a random image back out",
        0,
        unit="pixels",
        ge=0,
        le=LARGEST_SIZE,
    )
    color_jitter: float = key("strength of brightness, contrast and saturation changes", 0.0, ge=0)
    auto_augment: str | None = key("a timm policy, such as `rand-m9-mstd0.5`", None, min_length=1)
    re_prob: Share = key("random erasing", 0.0, unit="probability")

    @field_validator("scale", "ratio")
    @classmethod
    def _low_to_high(cls, pair: list[float] | None) -> list[float] | None:
        if pair is not None and not 0 < pair[0] <= pair[1]:
            raise ValueError("should be [low, high] with 0 < low <= high")
        return pair

    @field_validator("crop_padding")
    @classmethod
    def _one_kind_of_crop(cls, padding: int, info: ValidationInfo) -> int:
        if padding and info.data.get("scale"):
            raise ValueError("cannot be used together with scale: choose one kind of crop")
        return padding


class Data(Named):
    """The images, and how they are fed."""

    name: str = key(
        "`digits` (built in), `cifar10`, `folder`, `csv` (a list of path,label), or a timm data set "
        "(`torch/…`, `hfds/…`)",
        min_length=1,
        max_length=200,
    )
    dir: str | None = key(
        "where it lies, relative to the current directory; `--data-dir` wins",
        None,
        unit="path",
        min_length=1,
        max_length=4096,
    )
    labels: Literal["auto", True, False] = key(
        "`false`: images of a `folder` without classes, in whatever folders, or of a tar; what is reported "
        "is on how many of them the model answers as its teacher; `auto`: that where no stage needs labels "
        "and there are none",
        "auto",
    )
    img_size: Annotated[ImgSize | None, _SIZE] = key(
        "images are brought to this square, or to `192x320`: height x width; `null`: the model's own size",
        None,
        unit="pixels",
    )
    batch_size: int = key("images per optimiser step, over all processes", 128, unit="images", ge=1)
    workers: int = key(
        "loading processes per training process; 0: none",
        2,
        unit="processes",
        ge=0,
        le=MOST_WORKERS,
    )
    cache: Literal[True, False, "device"] = key(
        "decode every image once and hold it in memory; `device`: in that of the training device, "
        "where batches are augmented too",
        False,
    )
    holdout: int | float = key(
        "training images set aside, the same for every seed, a number of them or below 1 a share: `best` and "
        "every choice in a training are made on them, and the test images, if any, are scored once, at the "
        "end; 0: made on val/ where there is a test/ besides, else on the test images",
        0,
        unit="images",
        ge=0,
    )
    on_error: OnError = key(
        "images of a `folder` or `csv` that cannot be read: `stop` before the first step, or `skip` them",
        "stop",
    )
    mean: PerChannel | None = key("subtracted, RGB in [0, 1]; `null`: the model's own", None)
    std: PerChannel | None = key("divided by, RGB in [0, 1]; `null`: the model's own", None)
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = key(
        "how images are resized; `null`: the model's own", None
    )
    crop_pct: float | None = key(
        "test images are resized to img_size / crop_pct, then cropped; `null`: the model's own",
        None,
        ge=SMALLEST_CROP,
        le=1,
    )
    augment: Augment = key("random changes to training images", Augment)

    @field_validator("cache", "labels", mode="before")
    @classmethod
    def _no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if type(value) in (int, float):  # pydantic takes 1 for the literal true
            word = {"cache": "device", "labels": "auto"}[str(info.field_name)]
            raise ValueError(f"should be true, false or {word}, not {value}")
        return value

    @field_validator("labels")
    @classmethod
    def _of_folders(cls, labels: Any, info: ValidationInfo) -> Any:
        if labels is False and info.data.get("name", FOLDER) not in FILES:
            names = " or ".join(FILES)
            raise ValueError(f"can be false where name is {names}, and it is {info.data['name']}")
        return labels

    @field_validator("holdout")
    @classmethod
    def _images_or_share(cls, holdout: int | float) -> int | float:
        if isinstance(holdout, float) and holdout >= 1:
            raise ValueError("should be a whole number of images, or a share below 1")
        return holdout or 0

    @field_validator("std")
    @classmethod
    def _positive(cls, std: list[float] | None) -> list[float] | None:
        if std is not None and min(std) <= 0:
            raise ValueError("should be three positive numbers")
        return std
