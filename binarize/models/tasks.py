"""What a network is for, and so how much of binarize takes it.

A classification network converts whole, and all of binarize takes it. A video network converts whole too,
recorded on a clip, and exports; the data sets are images, so it is neither trained nor evaluated here. Of
a detection or segmentation network the backbone converts, and `binarize.load` gives the module.
"""

from __future__ import annotations

from torch import nn
from torchvision import models as torchvision_models

from binarize.errors import ModelError
from binarize.run import ModelSpec

TASKS = ("classification", "detection", "segmentation", "video")
UNSUPPORTED = ("optical_flow", "quantization")
PARTS = {"detection": "backbone", "segmentation": "backbone"}
"""Task -> the submodule that is converted; all of the model where there is none."""

LIMITS = {
    "train": ("classification",),
    "evaluate": ("classification",),
    "export": ("classification", "video"),
}
"""What is done -> with networks of which tasks."""

HINTS = {
    "train": "train the module that binarize.load gives in a loop of your own",
    "evaluate": "measure the module that binarize.load gives with that task's own metric",
    "export": "the module that binarize.load gives has the binary weights",
}


def task_of(model: nn.Module) -> str:
    """The task of a module, by the library package that its class comes from, else "classification"."""
    for cls in type(model).__mro__:
        for task in TASKS[1:]:
            if cls.__module__.startswith(f"{torchvision_models.__name__}.{task}"):
                return task
    return "classification"


def part_of(model: nn.Module) -> str | None:
    """The submodule that stands for a model which is not converted whole."""
    return PARTS.get(task_of(model))


def names_of(task: str) -> tuple[str, ...]:
    """torchvision's names for one task."""
    library = torchvision_models
    module = library if task == "classification" else getattr(library, task)
    return tuple(library.list_models(module=module))


def task_named(spec: ModelSpec) -> str:
    """The task of a run's model description; everything of timm's is classification."""
    if spec.library == "torchvision":
        for task in TASKS[1:]:
            if spec.name in names_of(task):
                return task
    return "classification"


def require(doing: str, model: nn.Module | ModelSpec) -> None:
    """Raises ModelError where `doing` ("train", "evaluate", "export") is not for such a network.

    `model` is a module or the description of one that a run keeps.
    """
    if isinstance(model, ModelSpec):
        name, task = model.name, task_named(model)
    else:
        name, task = type(model).__name__, task_of(model)
    if task not in LIMITS[doing]:
        raise ModelError(
            f"{name} is a {task} network, and binarize can {doing} "
            f"{' and '.join(LIMITS[doing])} networks only",
            HINTS[doing],
        )
