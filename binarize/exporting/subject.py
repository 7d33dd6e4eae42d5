"""What is exported: a module, and what a file should say about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from binarize import models, rewrite
from binarize.errors import ExportError, RunError
from binarize.imgsize import ImgSize
from binarize.rewrite.capture import Size
from binarize.run import Run, RunInfo, layout, locate
from binarize.run.files import read_file
from binarize.run.weights import check_values


@dataclass(frozen=True)
class Subject:
    """A module and its description.

    Attributes:
        model: latent weights and all; never changed by the export.
        info: as in a run.
        size: channels, height and width of its images.
        recipe: the resolved recipe of a trained run, YAML; else empty.
    """

    model: nn.Module
    info: RunInfo
    size: Size
    recipe: str = ""

    def wish(self, key: str) -> Any:
        """What the recipe says under `export.KEY`; None where it says nothing."""
        recipe = yaml.safe_load(self.recipe) if self.recipe else {}
        return recipe.get("export", {}).get(key)


def open_subject(
    target: nn.Module | Run | str | Path, input_size: ImgSize | None = None
) -> Subject:
    """The subject that `target` means: a module, a run or the directory of one of its checkpoints.

    `input_size` is that of the images, for a module that does not say it itself. Raises RunError
    or CheckpointError for a run that cannot be read.
    """
    rewrite.check_target(target)
    if isinstance(target, nn.Module):
        target = rewrite.unwrapped(target)
        rewrite.check_kind(target)
        models.require("export", target)
        check_values(target, "the model", ExportError)
        info = _info(target, input_size)
        return Subject(target, info, rewrite.image_size(target, info.preprocess.img_size))
    run, _ = locate(target)
    if input_size is not None:
        raise ExportError("a run has images of a fixed size", "omit input_size, or export a module")
    info = run.info
    models.require("export", info.model)
    recipe = run.path / layout.RECIPE
    text = _text(recipe) if recipe.is_file() else ""
    model = rewrite.build(target)
    return Subject(model, info, rewrite.image_size(model, info.preprocess.img_size), text)


def _text(recipe: Path) -> str:
    """What the file is going to hold of it. Raises RunError."""
    try:
        return read_file(recipe).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f'"{recipe}" cannot be read', "remove it, or make the run again") from error


def _info(model: nn.Module, input_size: ImgSize | None) -> RunInfo:
    """The description that `binarize.convert` left on the module, else one made from the module alone."""
    info = getattr(model, "binarize_info", None)
    if info is None:
        info = rewrite.open_float(model).info
    if input_size is None:
        return info
    return info.replace(preprocess=info.preprocess.replace(img_size=input_size))
