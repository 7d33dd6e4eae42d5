"""Names to modules, and modules again from the description that a run keeps."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import timm
import torchvision
from torch import nn

from binarize.errors import ModelError
from binarize.imgsize import ImgSize, height_width, img_size_text
from binarize.models import pretrained as weights_of
from binarize.models.arguments import check_arguments
from binarize.models.cifar import DEFAULTS
from binarize.models.classifier import num_classes as classes_of
from binarize.models.classifier import pretrained_classifier, reset_classifier
from binarize.models.fake import without_data
from binarize.models.names import parse, pretrained_cfg
from binarize.models.preprocess import default_preprocess
from binarize.models.tasks import names_of
from binarize.run import InvalidRecord, ModelSpec
from binarize.run.info import PRETRAINED

Pretrained = Literal["auto", True, False]

# Both normalise for the original weights inside the model, and have a second classifier in training;
# pretrained or not, here they are built the same: with the one, without the other. Segmentation networks
# have their second head as the pretrained ones do.
_INCEPTIONS = ("googlenet", "inception_v3")


@dataclass(frozen=True)
class Fetched:
    """A module, the description that builds it again, and where its weights came from, in words.

    `random` names the layers whose weights are new although the others were loaded.
    """

    model: nn.Module
    spec: ModelSpec
    weights: str
    random: tuple[str, ...] = ()


def describe(
    name: str, /, *, num_classes: int | None = None, img_size: ImgSize | None = None, **kwargs: Any
) -> ModelSpec:
    """What a run keeps of a model.

    `img_size` becomes an argument of the constructor only where the network is tied to one size.
    `kwargs` are further arguments of the library's constructor, see `models.arguments`. Raises ModelError for
    an unknown name and for an argument that is not among those.
    """
    library, bare = parse(name)
    kwargs = {**DEFAULTS.get(bare, {}), **_size_kwargs(library, bare, img_size), **kwargs}
    if num_classes is not None:
        kwargs["num_classes"] = num_classes
    version = (timm if library == "timm" else torchvision).__version__
    content = {"name": bare, "library": library, "library_version": version, "kwargs": kwargs}
    try:
        spec = ModelSpec.from_data(content)
    except InvalidRecord as problem:
        raise ModelError(
            f'an argument of "{name}" cannot be written into a run: {problem}',
            "pass numbers, strings, booleans, lists or dictionaries",
        ) from problem
    check_arguments(bare, kwargs, functools.partial(_class_of, library, bare))
    return spec


def create(
    name: str | ModelSpec,
    /,
    *,
    pretrained: Pretrained = False,
    num_classes: int | None = None,
    img_size: ImgSize | None = None,
    **kwargs: Any,
) -> nn.Module:
    """The module of that name, or of a description that `describe` made. See `fetch`."""
    if isinstance(name, ModelSpec):
        library, bare = check_spec(name)
        return _build(library, bare, name.kwargs)
    return fetch(
        name, pretrained=pretrained, num_classes=num_classes, img_size=img_size, **kwargs
    ).model


def check_spec(spec: ModelSpec) -> tuple[str, str]:
    """Library and bare name of a description that came with a file. Raises ModelError where this version does
    not know the name, or the file gives an argument that it may not give."""
    library, bare = parse(spec.title)
    check_arguments(bare, spec.kwargs, functools.partial(_class_of, library, bare))
    return library, bare


def fetch(
    name: str,
    /,
    *,
    pretrained: Pretrained = "auto",
    num_classes: int | None = None,
    img_size: ImgSize | None = None,
    **kwargs: Any,
) -> Fetched:
    """The module of that name with its description, and with pretrained weights if asked for.

    `pretrained`: True insists and raises ModelError where they cannot be had, False does not try,
    "auto" takes them if they can be had, else leaves the library's random initialisation. Without a
    network the answer comes within seconds.
    """
    spec = describe(name, num_classes=num_classes, img_size=img_size, **kwargs)
    library, bare, arguments = spec.library, spec.name, spec.kwargs
    if pretrained is False:
        return Fetched(_build(library, bare, arguments), spec, "random")
    weights = weights_of.find(library, bare)
    if weights is None:
        reason = f"{library} has none for {bare}"
    elif not weights.can_be_had():
        reason = f"{weights.label} is not in the cache and cannot be downloaded"
    else:
        try:
            model, random = _build_pretrained(library, bare, arguments)
            return Fetched(model, spec, f"{PRETRAINED} ({weights.label})", tuple(random))
        except Exception as error:  # whatever the network, the disk or torch raised
            reason = f"{weights.label} could not be loaded: {str(error).splitlines()[0]}"
    if pretrained is True:
        raise ModelError(
            f'the pretrained weights of "{name}" cannot be had: {reason}',
            "--checkpoint FILE takes weights that you have, safetensors or .pth",
        )
    return Fetched(_build(library, bare, arguments), spec, f"random ({reason})")


def _size_kwargs(library: str, bare: str, img_size: ImgSize | None) -> dict[str, Any]:
    if library == "timm":
        fixed = pretrained_cfg(bare).fixed_input_size
        return {"img_size": _as_json(img_size)} if fixed and img_size else {}
    if bare in _INCEPTIONS:
        return {"aux_logits": False, "transform_input": True}
    if bare in names_of("segmentation"):
        return {"aux_loss": True} if not bare.startswith("lraspp_") else {}
    own = default_preprocess(f"{library}/{bare}").img_size
    if bare.startswith("vit_"):
        if not isinstance(img_size or own, int):
            raise ModelError(
                f"torchvision's {bare} takes square images, not {img_size_text(img_size or own)}",
                "choose one number for --img-size, or the network of timm",
            )
        return {"image_size": img_size or own}
    if bare.startswith("maxvit_") and img_size is not None and img_size != own:
        return {"input_size": list(height_width(img_size))}
    return {}


def _as_json(size: ImgSize) -> int | list[int]:
    """An image size as an argument that a run can keep."""
    return size if isinstance(size, int) else list(size)


@functools.cache
def _class_of(library: str, bare: str) -> type[nn.Module]:
    """The class of the model of that name, which is made for it without memory."""
    with without_data():
        return type(_build(library, bare, _size_kwargs(library, bare, None)))


LONGEST = 300
"""Letters of what is told of arguments, which a file may have brought."""


def _build(library: str, bare: str, kwargs: dict[str, Any]) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if library == "timm":
                return timm.create_model(bare, **kwargs)
            return torchvision.models.get_model(bare, weights=None, **_no_weights(bare), **kwargs)
    except Exception as error:  # whatever a constructor makes of arguments that do not fit
        given = ", ".join(f"{key}={value}" for key, value in kwargs.items()) or "no arguments"
        given = given if len(given) <= LONGEST else f"{given[: LONGEST - 1]}…"
        reason = (str(error).splitlines() or [type(error).__name__])[0][:LONGEST]
        raise ModelError(
            f"{library} cannot build {bare} with {given}: {reason}",
            "check the image size and the arguments of the model",
        ) from error


def _no_weights(bare: str) -> dict[str, None]:
    """What keeps detection and segmentation networks from downloading weights for their backbone."""
    return {"weights_backbone": None} if bare in _with_backbone() else {}


def _with_backbone() -> tuple[str, ...]:
    return names_of("detection") + names_of("segmentation")


def _build_pretrained(
    library: str, bare: str, kwargs: dict[str, Any]
) -> tuple[nn.Module, list[str]]:
    """The model, and the names of its layers that are new, for other classes than the weights are for."""
    wanted = kwargs.get("num_classes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if library == "timm":
            model = timm.create_model(bare, pretrained=True, **kwargs)
            anew = wanted not in (None, pretrained_cfg(bare).num_classes)
            return model, pretrained_classifier(model) if anew else []
        if bare in _with_backbone():
            model = _build(library, bare, kwargs)
            weights_of.load_with_backbone(model, bare)
            return model, []
        rest = {key: value for key, value in kwargs.items() if key != "num_classes"}
        model = torchvision.models.get_model(bare, weights="DEFAULT", **rest)
    if wanted is None or wanted == classes_of(model):
        return model, []
    return model, reset_classifier(model, wanted)
