"""What there is to cover: the classification models of timm and torchvision, and a choice among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import timm
import torchvision
from coverage_lines import Line
from torch import nn

from binarize import models
from binarize.errors import ModelError
from binarize.imgsize import ImgSize, height_width
from binarize.models.fake import create_fake
from binarize.rewrite import capture, image_size

SIZES = (96, 128, 160, 192, 224)
"""Widths tried, smallest first, to have a model that is not tied to its own size answer quickly."""


def names() -> list[str]:
    """The classification models, as every command of binarize takes them, without binarize's own."""
    return [
        listing.name for listing in models.list_models() if _classifies(module_of(listing.name))
    ]


def _classifies(module: str) -> bool:
    """torchvision's other tasks have packages of their own: `torchvision.models.detection.…`."""
    return module.startswith(("timm.", "torchvision.")) and module.count(".") == 2


def module_of(name: str) -> str:
    """The file that makes it: `timm.models.resnet`."""
    library, bare = models.parse(name)
    if library == "timm":
        return timm.model_entrypoint(bare).__module__
    return torchvision.models.get_model_builder(bare).__module__


def describe(name: str) -> Line:
    """What is known of a model before it is converted."""
    model = create_fake(name)
    return {
        "model": name,
        "library": models.parse(name)[0],
        "module": module_of(name),
        "class": type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "image": list(image_size(model, own_size(name))),
    }


def own_size(name: str) -> ImgSize:
    return models.default_preprocess(name).img_size


def quick_size(name: str) -> ImgSize:
    """The smallest of SIZES that the model runs on as it is, or its own where it is tied to that."""
    own = own_size(name)
    model = create_fake(name)
    for size in SIZES:
        if size < min(height_width(own)) and not _tied(name) and _runs(model, size):
            return size
    return own


def _tied(name: str) -> bool:
    """Whether the constructor has to be told the size, so that another would be another network."""
    given, own = (models.describe(name, img_size=size).kwargs for size in (97, own_size(name)))
    return given != own


def _runs(model: nn.Module, size: int) -> bool:
    try:
        capture(model, image_size(model, size))
    except ModelError:
        return False
    return True


def level2_models(lines: Iterable[Line]) -> list[str]:
    """The smallest of each module and of each signature that these do not have, smallest first."""
    lines = {line["model"]: line for line in lines}
    chosen = smallest_of_modules(lines.values())
    seen = {signature(lines[name]) for name in chosen}
    for name in _smallest(lines.values(), signature):
        if signature(lines[name]) not in seen:
            chosen.append(name)
    return sorted(chosen, key=lambda name: (lines[name]["parameters"], name))


def level3_models(lines: Iterable[Line]) -> list[str]:
    """The smallest of each class in each module, a class of each module before the next ones."""
    lines = {line["model"]: line for line in lines}
    chosen = _smallest(lines.values(), lambda line: (line["module"], line["class"]))
    return in_turn(lines[name] for name in chosen)


def signature(line: Line) -> tuple[str, ...]:
    """What sets a model of level 1 apart: its class, the classes that use weights, why layers are kept."""
    kept = line["modes"].get("W1A32", {}).get("kept", {})
    return (line["class"], *line.get("signature", ()), *sorted(kept))


def smallest_of_modules(lines: Iterable[Line]) -> list[str]:
    """The smallest model of each module, smallest first."""
    return _smallest(lines, lambda line: line["module"])


def in_turn(lines: Iterable[Line]) -> list[str]:
    """All of them: the smallest model of each module, then the second smallest of each, and so on."""
    ranks: Counter[str] = Counter()
    order = []
    for line in sorted(lines, key=lambda line: (line["parameters"], line["model"])):
        order.append((ranks[line["module"]], line["parameters"], line["model"]))
        ranks[line["module"]] += 1
    return [name for *_, name in sorted(order)]


def _smallest(lines: Iterable[Line], key: Callable[[Line], object]) -> list[str]:
    chosen: dict[object, Line] = {}
    for line in sorted(lines, key=lambda line: (line["parameters"], line["model"])):
        chosen.setdefault(key(line), line)
    return [line["model"] for line in chosen.values()]
