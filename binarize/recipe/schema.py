"""What a recipe may say: every key with its type, default, unit and meaning, in one place.

The models here and in `conversion`, `images` and `stage` are the only source: they check recipe files,
fill in defaults, and write the JSON Schema for editors and the page docs/recipes.md.

A section with a `name` (model, estimator, data, optimizer, schedule) may be written as the bare name:
`estimator: ab-tanh` is short for `estimator: {name: ab-tanh}`.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import ValidationError, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from binarize.choices import MOST_THREADS
from binarize.recipe.conversion import Binarize, Estimator, LayerChoice, Model
from binarize.recipe.images import FILES, Augment, Data
from binarize.recipe.section import Named, Section, key, section_in
from binarize.recipe.stage import (
    FLOAT_TEACHER,
    Distill,
    EarlyStop,
    Ema,
    Group,
    Groups,
    Optimizer,
    Schedule,
    Stage,
)

__all__ = [
    "FLOAT_TEACHER",
    "Augment",
    "Binarize",
    "Data",
    "Distill",
    "EarlyStop",
    "Ema",
    "Engine",
    "Estimator",
    "Export",
    "Group",
    "Groups",
    "LayerChoice",
    "Model",
    "Named",
    "Optimizer",
    "Recipe",
    "Schedule",
    "Section",
    "Stage",
    "section_at",
    "section_in",
]


class Engine(Section):
    """How the arithmetic is done."""

    precision: Literal["bf16", "fp16", "fp32"] = key(
        "of the forward and backward pass; weights and estimators are always fp32", "fp32"
    )
    accumulate: int = key(
        "split each batch into so many, and add up their gradients",
        1,
        unit="parts",
        ge=1,
        le=1 << 20,
    )
    channels_last: bool = key("memory order of images and convolution weights", True)
    sync_norms: bool = key(
        "batch norms use the statistics of the whole batch, over all processes (GPUs only)", False
    )
    tensorboard: bool = key("write metrics and indicators for TensorBoard too", False)
    device: str = key(
        "`auto`: the accelerator that there is, else the CPU; or `cpu`, `cuda`, `cuda:1`, `mps`, `xpu`",
        "auto",
    )
    threads: int | None = key(
        "CPU threads; `null`: torch's own choice", None, unit="threads", ge=1, le=MOST_THREADS
    )

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|(cuda|mps|xpu)(:[0-9]{1,2})?", device):
            raise ValueError("should be auto, cpu, cuda, cuda:1, mps or xpu")
        return device


class Export(Section):
    """What `binarize export` takes from the recipe of a run."""

    opset: int = key("version of the ONNX operator set", 20, ge=18)
    form: Literal["packed", "inline", "int8", "native"] = key(
        "how the file holds binary weights; what each form is: docs/op-spec.md", "packed"
    )
    classifier: Literal["float", "fp16", "int8", "1bit"] = key(
        "how the weight of the last layer is stored", "float"
    )
    with_preprocess: bool = key(
        "the file takes uint8 images [N, H, W, 3] and gives probabilities: normalisation and softmax inside",
        False,
    )


class Recipe(Section):
    """A whole recipe, resolved and checked."""

    version: int = key("of the recipe format; 1 is the only one", 1)
    description: str = key("one line for `binarize recipes ls`", "")
    seed: int = key("of everything random", 0, ge=0, lt=2**32)
    twin: bool = key("train the float model by the same stages first, for comparison", False)
    model: Model | None = key(
        "the network to start from; without it, the run or model that is named on the command line",
        None,
    )
    binarize: Binarize | None = key(
        "what becomes 1-bit; without it, a run keeps its own conversion and a model takes the defaults",
        None,
    )
    data: Data = key("the images")
    stages: list[Stage] = key("the training, in order", min_length=1)
    engine: Engine = key("how the arithmetic is done", Engine)
    export: Export = key("what `binarize export` takes from here", Export)

    @field_validator("stages")
    @classmethod
    def _binary_in_the_end(cls, stages: list[Stage], info: ValidationInfo) -> list[Stage]:
        if stages[-1].binary != "all":
            raise _at(
                len(stages) - 1, "binary", stages[-1].binary, "should be all in the last stage"
            )
        binarize = info.data.get("binarize")
        if binarize is not None and binarize.activations == "float":
            for number, stage in enumerate(stages):
                if stage.binary == "activations":
                    raise _at(
                        number, "binary", stage.binary, "needs binarize.activations step or sign"
                    )
        return stages

    @field_validator("stages")
    @classmethod
    def _stops_on_held_out_images(cls, stages: list[Stage], info: ValidationInfo) -> list[Stage]:
        data = info.data.get("data")
        for number, stage in enumerate(stages):
            if (
                stage.early_stop is not None
                and data is not None
                and not (data.holdout or data.name in FILES)
            ):
                words = "needs data.holdout: never stop on the test images"
                raise _at(number, "early_stop", stage.early_stop, words)
        return stages

    @field_validator("stages")
    @classmethod
    def _has_something_to_do(cls, stages: list[Stage]) -> list[Stage]:
        if stages[-1].skip_if is not None:
            last = len(stages) - 1
            words = "should be null in the last stage: nothing may be left to train"
            raise _at(last, "skip_if", stages[-1].skip_if, words)
        return stages

    @field_validator("stages")
    @classmethod
    def _learns_from_what_there_is(cls, stages: list[Stage], info: ValidationInfo) -> list[Stage]:
        data = info.data.get("data")
        for number, stage in enumerate(stages):
            if data is not None and data.labels is False and stage.needs_labels:
                words = "should have labels: false, as data.labels is false"
                raise _at(number, "distill", stage.distill, words)
        return stages

    @field_validator("version")
    @classmethod
    def _known_version(cls, version: int) -> int:
        if version != 1:
            raise ValueError(f"this version of binarize reads recipes of version 1, not {version}")
        return version


def _at(stage: int, name: str, value: Any, words: str) -> ValidationError:
    """An error about a key of a stage that the other stages or sections make wrong."""
    problem = PydanticCustomError("value_error", "{error}", {"error": words})
    line = InitErrorDetails(type=problem, loc=(stage, name), input=value)
    return ValidationError.from_exception_data("Recipe", [line])


def section_at(path: tuple[str | int, ...]) -> type[Section] | None:
    """The section that describes the value at `path` ("stages", 0, "optimizer"), or None."""
    section: type[Section] | None = Recipe
    for step in path:
        if section is None or isinstance(step, int):
            continue
        field = section.model_fields.get(step)
        section = section_in(field.annotation) if field else None
    return section
