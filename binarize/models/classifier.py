"""The classifier of a network, wherever its library put it."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from binarize.errors import ModelError
from binarize.models.attributes import set_attribute
from binarize.models.tasks import PARTS, task_of


def num_classes(model: nn.Module) -> int:
    """How many logits `model` gives. Raises ModelError for a network without a classifier."""
    _require_classifier(model)
    stored = getattr(model, "num_classes", None)
    if isinstance(stored, int) and stored > 0:
        return stored
    _, head = last_layer(model)
    return head.out_features if isinstance(head, nn.Linear) else head.out_channels


def reset_classifier(model: nn.Module, classes: int) -> list[str]:
    """Give `model`, in place, a new randomly initialised classifier for that many classes.

    timm's models have a method for it. In all of torchvision's, the classifier is the linear or
    convolution layer that was defined last, and so it is taken to be in a caller's own network.
    Returns the names of the layers whose weights are new.
    """
    _require_classifier(model)
    before = {id(parameter) for parameter in model.parameters()}
    _reset(model, classes)
    return sorted(
        name
        for name, module in model.named_modules()
        if any(id(parameter) not in before for parameter in module.parameters(recurse=False))
    )


def pretrained_classifier(model: nn.Module) -> list[str]:
    """The names of the layers that timm makes anew where a model is to have other classes than its pretrained
    weights are for."""
    cfg = getattr(model, "pretrained_cfg", None) or {}
    found = cfg.get("classifier") or ()
    return sorted([found] if isinstance(found, str) else found)


def _reset(model: nn.Module, classes: int) -> None:
    reset = getattr(model, "reset_classifier", None)
    if reset is not None:
        reset(classes)
        return
    name, old = last_layer(model)
    make: Callable[..., nn.Module] = type(old)
    shape: tuple[object, ...]
    if isinstance(old, nn.Linear):
        shape = (old.in_features, classes)
    else:
        shape = (old.in_channels, classes, old.kernel_size, old.stride, old.padding)
    weight, bias = old.weight, old.bias is not None
    new = make(*shape, bias=bias, device=weight.device, dtype=weight.dtype)
    model.set_submodule(name, new.train(old.training))
    if hasattr(model, "num_classes"):
        set_attribute(model, "num_classes", classes)


def _require_classifier(model: nn.Module) -> None:
    task = task_of(model)
    if task in PARTS:
        raise ModelError(
            f"{type(model).__name__} is a {task} network: it has no classifier to speak of",
            "its number of classes is an argument of its constructor: --num-classes with its name",
        )


def last_layer(model: nn.Module) -> tuple[str, nn.Linear | nn.Conv2d | nn.Conv3d]:
    """The linear or convolution layer that was defined last, and its name. Raises ModelError."""
    layers = [
        (name, module)
        for name, module in model.named_modules()
        if name and isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d))
    ]
    if not layers:
        raise ModelError(
            f"no classifier was found in {type(model).__name__}",
            "name a classification network: binarize models ls",
        )
    return layers[-1]
