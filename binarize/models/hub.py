"""timm's models of a hub or a folder: `hf-hub:OWNER/NAME` and `local-dir:FOLDER`.

Only what a user types fetches. What comes back is read as any other file is: the architecture has to be one
of timm's, its arguments are those of `models.arguments`, and a run keeps these two, not where they came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
from torch import nn

from binarize.errors import BinarizeError, CheckpointError, ModelError
from binarize.imgsize import img_size_of
from binarize.models import pretrained as weights_of
from binarize.models.checkpoint import load_checkpoint, load_tensors
from binarize.models.create import create, describe
from binarize.models.preprocess import default_preprocess
from binarize.run import ModelSpec, Preprocess

HUB, FOLDER = "hf-hub", "local-dir"
FILES = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth")
"""What holds the weights in a folder, the first one that there is."""
_OF_IMAGES = ("mean", "std", "interpolation", "crop_pct")


@dataclass(frozen=True)
class FromHub:
    """A model of a hub or a folder, with all that a run keeps of it."""

    model: nn.Module
    spec: ModelSpec
    weights: str
    preprocess: Preprocess
    classes: list[str]


def is_hub_name(name: str) -> bool:
    """Whether timm would fetch it, or read it from a folder."""
    source, colon, _ = name.partition(":")
    return bool(colon) and source.replace("_", "-") in (HUB, FOLDER)


def fetch_hub(name: str, load: bool = True, **kwargs: Any) -> FromHub:
    """The model of that name; with random weights without `load`. `kwargs`: further arguments.

    Raises ModelError where it cannot be had, or says what a file may not say; CheckpointError for weights
    that do not fit it.
    """
    source, _, place = name.partition(":")
    is_folder = source == FOLDER
    config, architecture, arguments = _config(name, place, is_folder)
    try:
        spec = describe(f"timm/{architecture}", **{**_given(config, arguments), **kwargs})
        preprocess = default_preprocess(f"timm/{architecture}").replace(**_images(config))
        model = create(spec)
    except BinarizeError as problem:
        raise ModelError(f"{name}: {problem.message}", problem.hint) from problem
    if load and is_folder:
        load_checkpoint(model, _weights_in(Path(place)))
    elif load:
        load_tensors(model, _downloaded(name, place), name)
    names = config.get("label_names")
    known = isinstance(names, list) and len(names) == spec.kwargs.get("num_classes")
    classes = [str(label) for label in names] if known and names else []
    return FromHub(model, spec, f"pretrained ({name})" if load else "random", preprocess, classes)


def _config(name: str, place: str, is_folder: bool) -> tuple[Mapping[str, Any], str, Any]:
    """What its config.json says: of its weights, its architecture, and that one's arguments."""
    try:
        if is_folder:
            return timm.models._hub.load_model_config_from_path(place)
        repository, _, revision = place.partition("@")
        cached = huggingface_hub.try_to_load_from_cache(
            repository, "config.json", revision=revision or None
        )
        if not isinstance(cached, str) and not weights_of.answers(
            huggingface_hub.constants.ENDPOINT
        ):
            raise ModelError(
                f"{name} is not in the cache and cannot be downloaded",
                "take its files from a machine with a network: local-dir:FOLDER",
            )
        return timm.models.load_model_config_from_hf(place)
    except BinarizeError:
        raise
    except Exception as error:  # whatever the network, the hub or its file makes of it
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{name} cannot be read: {reason}",
            "it has to hold timm's config.json and weights, as timm.models.save_for_hf writes them",
        ) from error


def _given(config: Mapping[str, Any], arguments: Any) -> dict[str, Any]:
    """The arguments of the architecture; the number of classes is that of the weights."""
    given = dict(arguments) if isinstance(arguments, Mapping) else {}
    if config.get("num_classes") is not None:
        given["num_classes"] = config["num_classes"]
    return given


def _images(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the config says of images, as far as it does."""
    found = {key: config[key] for key in _OF_IMAGES if config.get(key) is not None}
    for key in ("mean", "std"):
        if isinstance(found.get(key), (list, tuple)):
            found[key] = [float(value) for value in found[key]]
    size = config.get("input_size")
    if isinstance(size, (list, tuple)) and len(size) > 1:
        found["img_size"] = img_size_of(size[-2:])
    return found


def _weights_in(folder: Path) -> Path:
    for name in FILES:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(
        f'"{folder}" holds no weights', f"it should hold one of {', '.join(FILES)}"
    )


def _downloaded(name: str, place: str) -> dict[str, Any]:
    try:
        return timm.models.load_state_dict_from_hf(place, weights_only=True)
    except Exception as error:  # whatever the network or the hub raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"the weights of {name} cannot be had: {reason}",
            "--no-pretrained takes its architecture alone",
        ) from error
