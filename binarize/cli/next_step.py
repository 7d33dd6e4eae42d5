"""What to type next, for the network and the files at hand."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from binarize.recipe import Recipe
    from binarize.run import Run, RunInfo

SMALL = 64
"""Up to this image size in pixels, the built-in digits say something about a network."""


def run_of(path: Path) -> Run | None:
    """The run at `path`, or that `path` is a checkpoint of (RUN/best, RUN/last)."""
    from binarize.run import Run, is_run, layout

    directory = layout.run_of(path)
    return Run(directory) if is_run(directory) else None


def after_converting(path: str | Path, info: RunInfo) -> str:
    """Train the run at `path`, if it is one that binarize trains."""
    if not _trains(info):
        return f"binarize summary {path}"
    if info.kind == "trained":
        command = f"binarize eval {path}"
    elif info.fit is not None:
        command = f"binarize train {path} --recipe finetune --data-dir DIR"
    elif max(info.preprocess.sides) <= SMALL:
        command = f"binarize train {path} --recipe digits"
    else:
        command = f"binarize train {path} --recipe {_for_imagenet(info)} --data-dir DIR"
    return command + code_of(info)


def code_of(info: RunInfo | None) -> str:
    """The flag that a run of the user's own code cannot do without: ` --code nets.py:make_net`."""
    return f" --code {shlex.quote(info.code)}" if info is not None and info.code else ""


def measuring(path: Path) -> str:
    """How an ONNX file of the run at `path` is measured: its speed alone, where no data set goes with it."""
    run = run_of(path)
    return "eval" if run is not None and run.info.data.name else "bench"


def after_predicting(target: str) -> str:
    """A file that answers by itself, of a run; the speed of a file."""
    if target.endswith(".onnx"):
        return f"binarize bench {target}"
    return f"binarize export {target} --onnx --with-preprocess"


def training(recipe: str, checked: Recipe) -> str:
    """Train by that recipe, with the model and the images that it does not name itself."""
    words = ["binarize train", f"--recipe {recipe}"]
    if checked.model is None and not _any_run():
        learns = any(stage.float_teacher for stage in checked.stages) and not checked.twin
        words.insert(1, "MODEL" if learns else "cifar_resnet20")  # which has random weights
    if checked.data.name != "digits" and checked.data.dir is None:
        words.append("--data-dir DIR")
    return " ".join(words)


def _trains(info: RunInfo) -> bool:
    """Whether it classifies images: torchvision has networks for other tasks."""
    if info.model.library != "torchvision":
        return True
    from binarize.models.tasks import LIMITS, task_named

    return task_named(info.model) in LIMITS["train"]


def _for_imagenet(info: RunInfo) -> str:
    """The shipped recipe for that network, else the one of ResNet-18, whose settings are a start."""
    from binarize.recipe import shipped

    reactnet = info.conversion is not None and info.conversion.structure == "reactnet"
    suffix = "-reactnet" if reactnet else ""
    name = f"imagenet-{info.model.name.partition('.')[0]}{suffix}"
    return name if name in shipped() else f"imagenet-resnet18{suffix}"


def _any_run() -> bool:
    from binarize.errors import BinarizeError
    from binarize.run import newest_run

    try:
        newest_run()
    except BinarizeError:
        return False
    return True
