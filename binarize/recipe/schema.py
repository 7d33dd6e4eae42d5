"""What a recipe may say: every key with its type, default, unit and meaning, in one place.

The models below are the only source: they check recipe files, fill in defaults, and write the JSON
Schema for editors and the page docs/recipes.md. Unknown keys are refused, and nothing is converted
behind the reader's back: `epochs: "3"` is an error, not 3.

A section with a `name` (model, estimator, data, optimizer, schedule) may be written as the bare name:
`estimator: ab-tanh` is short for `estimator: {name: ab-tanh}`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError


def key(meaning: str, default: Any = ..., *, unit: str = "", **limits: Any) -> Any:
    """One recipe key: what it means, its default (none: it must be written), its unit and limits."""
    extra = {"unit": unit} if unit else None
    if callable(default):
        return Field(
            default_factory=default, description=meaning, json_schema_extra=extra, **limits
        )
    return Field(default=default, description=meaning, json_schema_extra=extra, **limits)


def _is_constant(value: Any) -> Any:
    if value is not None and not isinstance(value, (bool, int, float)):
        raise ValueError("should be a number, true, false or null")
    return value


Share = Annotated[float, Field(ge=0, le=1)]
Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
PerChannel = Annotated[list[float], Field(min_length=3, max_length=3)]
Constant = Annotated[
    Any,
    AfterValidator(_is_constant),
    WithJsonSchema({"type": ["number", "boolean", "null"]}),
]


class Section(BaseModel):
    """Base of all sections: unknown keys refused, no silent conversions, read-only."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        validate_default=True,
    )


class Named(Section):
    """A section that may be written as its bare name."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        whole = handler.resolve_ref_schema(handler(core_schema))
        return {"anyOf": [{"type": "string"}, whole]}


class Model(Named):
    """The network to start from, where no run or model is named on the command line."""

    name: str = key("a timm name, `timm/…`, `torchvision/…`", min_length=1)
    pretrained: Literal["auto", True, False] = key(
        "the library's pretrained weights: `true` insists, `false` does not try, `auto` takes them "
        "if they can be had",
        "auto",
    )
    checkpoint: str | None = key(
        "weights to start from: safetensors, or a .pth read with weights_only", None, unit="path"
    )
    num_classes: int | None = key("size of the classifier; `null`: the data's", None, ge=1)
    stem: Literal["auto", "keep", "cifar"] = key(
        "`cifar`: a 3x3 first convolution without pooling; `auto`: that where img_size <= 64",
        "auto",
    )
    kwargs: dict[str, Any] = key("further arguments of the library's constructor", dict)

    @field_validator("pretrained", mode="before")
    @classmethod
    def _no_number(cls, pretrained: Any) -> Any:
        if type(pretrained) in (int, float):  # pydantic takes 1 for the literal true
            raise ValueError(f"should be auto, true or false, not {pretrained}")
        return pretrained


class Estimator(Named):
    """Which surrogate gradient trains the signs. Keys besides `name` are the estimator's constants."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Constant]

    name: str = key("a name from `binarize estimators ls`", "ab-tanh", min_length=1)

    @property
    def constants(self) -> dict[str, Any]:
        """The constants that were written, as `binarize.estimators.get` takes them."""
        return dict(self.__pydantic_extra__ or {})


class Binarize(Section):
    """What becomes 1-bit, and how."""

    estimator: Estimator = key(
        "the estimator: a name, or `{name: ab-tanh, a_end: 0.8}` with constants", Estimator
    )
    scale: Literal["channel", "layer", "none"] = key(
        "mean absolute latent weight that multiplies the signs, per output channel or per layer",
        "channel",
    )
    standardise: bool = key("standardise the latent weights per output channel before sign", True)
    keep: list[str] = key("globs on module names: these layers stay float", list)
    force: list[str] = key("globs: binarize these although kept by default; `keep` wins", list)
    activations: Literal["float", "step", "sign"] = key(
        "what the input of a binary layer becomes: `float`: what it is; `step`: 0 or s, with a learned "
        "threshold and s per layer; `sign`: -1 or +1, with a learned shift per channel",
        "float",
    )
    structure: Literal["keep", "bireal", "reactnet"] = key(
        "surgery on the blocks around `sign` inputs: `bireal`: no ReLU before them and a shortcut "
        "around each convolution; `reactnet`: the same with RPReLU",
        "keep",
    )

    @field_validator("structure")
    @classmethod
    def _made_for_signs(cls, structure: str, info: ValidationInfo) -> str:
        activations = info.data.get("activations", "sign")
        if structure != "keep" and activations != "sign":
            raise ValueError(f"{structure} is made for activations sign, not for {activations}")
        return structure


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
        "pad by this much on every side, then crop a random image back out", 0, unit="pixels", ge=0
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
        "`digits` (built in), `cifar10`, `folder`, or a timm data set (`torch/…`, `hfds/…`)",
        min_length=1,
    )
    dir: str | None = key(
        "where it lies, relative to the current directory; `--data-dir` wins", None, unit="path"
    )
    img_size: int | None = key(
        "images are brought to this square; `null`: the model's own size", None, unit="pixels", ge=1
    )
    batch_size: int = key("images per optimiser step, over all processes", 128, unit="images", ge=1)
    workers: int = key("loading processes per training process; 0: none", 2, unit="processes", ge=0)
    cache: bool = key("decode every image once and hold it in memory", False)
    mean: PerChannel | None = key("subtracted, RGB in [0, 1]; `null`: the model's own", None)
    std: PerChannel | None = key("divided by, RGB in [0, 1]; `null`: the model's own", None)
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = key(
        "how images are resized; `null`: the model's own", None
    )
    crop_pct: float | None = key(
        "test images are resized to img_size / crop_pct, then cropped; `null`: the model's own",
        None,
        gt=0,
        le=1,
    )
    augment: Augment = key("random changes to training images", Augment)

    @field_validator("std")
    @classmethod
    def _positive(cls, std: list[float] | None) -> list[float] | None:
        if std is not None and min(std) <= 0:
            raise ValueError("should be three positive numbers")
        return std


class Optimizer(Named):
    """The optimiser, made by timm."""

    name: str = key(
        "a timm optimiser; note that timm's `sgd` is Nesterov's and `momentum` is the plain one",
        "sgd",
        min_length=1,
    )
    lr: float = key("learning rate, before schedule", gt=0)
    momentum: float = key("momentum, where the optimiser has one", 0.9, ge=0, lt=1)
    weight_decay: float = key("weight decay (not on biases and norms, see kwargs)", 0.0, ge=0)
    betas: Pair | None = key("Adam's betas; `null`: the optimiser's own", None)
    eps: float | None = key("Adam's epsilon; `null`: the optimiser's own", None, gt=0)
    kwargs: dict[str, Any] = key(
        "further arguments of timm's create_optimizer_v2, such as `filter_bias_and_bn: false`, "
        "which decays biases and norms too",
        dict,
    )


class Schedule(Named):
    """The learning rate over one stage. All epochs count from the start of the stage."""

    name: Literal["cosine", "step", "multistep", "poly", "constant"] = key(
        "the curve after the warm-up", "cosine"
    )
    warmup_epochs: float = key(
        "linear warm-up, part of the stage; fractions are allowed", 0.0, unit="epochs", ge=0
    )
    warmup_lr: float = key("learning rate at the start of the warm-up", 0.0, ge=0)
    min_lr: float = key("learning rate at the end of cosine and poly", 0.0, ge=0)
    decay_epochs: float | None = key(
        "step: multiply after every so many", None, unit="epochs", gt=0
    )
    decay_milestones: list[float] | None = key(
        "multistep: multiply at each of these", None, unit="epochs", min_length=1
    )
    decay_rate: float = key("the factor of step and multistep; the power of poly", 0.1, gt=0)

    @field_validator("decay_epochs", "decay_milestones")
    @classmethod
    def _belongs_to_its_curve(cls, value: Any, info: ValidationInfo) -> Any:
        owner = {"decay_epochs": "step", "decay_milestones": "multistep"}[str(info.field_name)]
        curve = info.data.get("name", owner if value is not None else None)
        if curve == owner and value is None:
            raise ValueError(f"is needed by schedule {owner}")
        if curve != owner and value is not None:
            raise ValueError(f"belongs to schedule {owner}, and this one is {curve}")
        return value


class Ema(Section):
    """Exponential moving average of the weights; it is what is evaluated and kept."""

    decay: float = key("share of the average that stays at every optimiser step", 0.999, gt=0, lt=1)


class Stage(Section):
    """One stretch of training. Stages follow each other; each has its own optimiser and schedule."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["epochs"]}, {"required": ["steps"]}]}
    )

    name: str | None = key("shown in the progress bar and in metrics.csv", None, min_length=1)
    epochs: int | None = key("duration; either this or steps", None, unit="epochs", ge=1)
    steps: int | None = key("duration; either this or epochs", None, unit="optimiser steps", ge=1)
    binary: Literal["all", "activations", "weights", "none"] = key(
        "what is binary in this stage, of what `binarize` makes binary; `all` in the last one",
        "all",
    )
    optimizer: Optimizer = key("the optimiser")
    schedule: Schedule = key("the learning rate over the stage", Schedule)
    label_smoothing: float = key("label smoothing", 0.0, ge=0, lt=1)
    mixup: float = key("mixup alpha; 0: off", 0.0, ge=0)
    cutmix: float = key("cutmix alpha; 0: off", 0.0, ge=0)
    clip_grad: float | None = key("clip the gradient to this norm; `null`: do not", None, gt=0)
    ema: Ema | None = key("average the weights, `{decay: 0.999}`; `null`: do not", None)

    @property
    def binary_weights(self) -> bool:
        """Whether weights are binary in this stage."""
        return self.binary in ("all", "weights")

    @property
    def binary_inputs(self) -> bool:
        """Whether inputs of layers are binary in this stage."""
        return self.binary in ("all", "activations")

    @field_validator("steps")
    @classmethod
    def _one_duration(cls, steps: int | None, info: ValidationInfo) -> int | None:
        if "epochs" in info.data and (steps is None) == (info.data["epochs"] is None):
            given = "has neither" if steps is None else "has both"
            raise ValueError(f"a stage lasts for exactly one of epochs and steps; this one {given}")
        return steps

    @field_validator("schedule")
    @classmethod
    def _warmup_fits(cls, schedule: Schedule, info: ValidationInfo) -> Schedule:
        epochs = info.data.get("epochs")
        if epochs is not None and schedule.warmup_epochs > epochs:
            raise ValueError(
                f"warms up for {schedule.warmup_epochs:g} epochs, but the stage has {epochs}"
            )
        return schedule


class Engine(Section):
    """How the arithmetic is done."""

    precision: Literal["bf16", "fp16", "fp32"] = key(
        "of the forward and backward pass; weights and estimators are always fp32", "fp32"
    )
    accumulate: int = key(
        "split each batch into so many, and add up their gradients", 1, unit="parts", ge=1
    )
    channels_last: bool = key("memory order of images and convolution weights", True)
    threads: int | None = key("CPU threads; `null`: torch's own choice", None, unit="threads", ge=1)


class Export(Section):
    """What `binarize export` takes from the recipe of a run."""

    opset: int = key("version of the ONNX operator set", 20, ge=18)


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
            raise _at(len(stages) - 1, stages[-1].binary, "should be all in the last stage")
        binarize = info.data.get("binarize")
        if binarize is not None and binarize.activations == "float":
            for number, stage in enumerate(stages):
                if stage.binary == "activations":
                    raise _at(number, stage.binary, "needs binarize.activations step or sign")
        return stages

    @field_validator("version")
    @classmethod
    def _known_version(cls, version: int) -> int:
        if version != 1:
            raise ValueError(f"this version of binarize reads recipes of version 1, not {version}")
        return version


def _at(stage: int, value: str, words: str) -> ValidationError:
    """An error about the `binary` of a stage that the other stages or sections make wrong."""
    problem = PydanticCustomError("value_error", "{error}", {"error": words})
    line = InitErrorDetails(type=problem, loc=(stage, "binary"), input=value)
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


def section_in(annotation: Any) -> type[Section] | None:
    """The section that a key of this type holds, alone, in a list or where not null."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    found = (section_in(part) for part in get_args(annotation))
    return next((section for section in found if section), None)
