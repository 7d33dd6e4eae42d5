"""The sections that say what is trained: the network, and what of it becomes 1-bit."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from binarize.choices import MOST_BASES, ScaleName
from binarize.recipe.section import Named, Section, key
from binarize.run import EstimatorSpec


def _is_constant(value: Any) -> Any:
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise ValueError("should be a number, a word, true, false or null")
    return value


Constant = Annotated[
    Any,
    AfterValidator(_is_constant),
    WithJsonSchema({"type": ["number", "string", "boolean", "null"]}),
]


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
        "`cifar`: a 3x3 first convolution without pooling; `auto`: that for `pretrained: false` where "
        "img_size <= 64, else `keep`",
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

    @property
    def spec(self) -> EstimatorSpec:
        """In the shape that it has outside of recipes."""
        return EstimatorSpec.of({"name": self.name, **self.constants})


class LayerChoice(Section):
    """Other choices for the binary layers whose name matches; `null`: those of `binarize`."""

    match: str = key("glob on layer names, such as `layer4.*`", min_length=1)
    estimator: Estimator | None = key("the estimator of these layers", None)
    scale: ScaleName | None = key("what multiplies the signs of these layers", None)
    bases: int | None = key(
        "how many binary weights add up to that of these layers", None, ge=1, le=MOST_BASES
    )
    standardise: bool | None = key("whether these latent weights are standardised", None)


class Binarize(Section):
    """What becomes 1-bit, and how."""

    estimator: Estimator = key(
        "the estimator: a name, or `{name: ab-tanh, a_end: 0.8}` with constants", Estimator
    )
    scale: ScaleName = key(
        "what multiplies the signs: the mean absolute latent weight per output channel, without gradient "
        "or `in-graph`, or per layer; `power-of-two`: the nearest one; `learned` from there on",
        "channel",
    )
    bases: int = key(
        "how many binary weights add up to a layer's; several for the scales `channel` and `layer`",
        1,
        ge=1,
        le=MOST_BASES,
    )
    standardise: bool = key("standardise the latent weights per output channel before sign", True)
    layers: list[LayerChoice] = key(
        "other choices for some layers; of several that match, the last one counts", list
    )
    keep: list[str] = key("globs on module names: these layers stay float", list)
    include: list[str] = key("globs: binarize these although kept by default; `keep` wins", list)
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

    @model_validator(mode="before")
    @classmethod
    def _once_called_force(cls, value: Any) -> Any:
        """Recipes of binarize 0.1 say `force` where `include` is meant."""
        if not isinstance(value, dict) or not isinstance(value.get("force"), list):
            return value
        others = {name: item for name, item in value.items() if name != "force"}
        include = others.get("include", [])
        if not isinstance(include, list):  # which is refused as it stands
            return others
        return {**others, "include": [*include, *value["force"]]}

    @field_validator("structure")
    @classmethod
    def _made_for_signs(cls, structure: str, info: ValidationInfo) -> str:
        activations = info.data.get("activations", "sign")
        if structure != "keep" and activations != "sign":
            raise ValueError(f"{structure} is made for activations sign, not for {activations}")
        return structure
