"""The network that a stage is distilled from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from binarize import models
from binarize.errors import ModelError, TrainingError
from binarize.fitting import outputs_of_run
from binarize.imgsize import img_size_text
from binarize.recipe.schema import FLOAT_TEACHER, Distill
from binarize.rewrite import added_keys, build, build_info
from binarize.run import Preprocess, RunInfo, is_run, layout, locate
from binarize.run.weights import load_weights


def make_teacher(distill: Distill, path: Path, info: RunInfo) -> nn.Module:
    """The teacher of a stage of the run in `path`, in eval mode: images as the run's model takes them ->
    logits of the run's classes.

    Raises TrainingError where it has other classes or does not take such images, and the errors of
    opening a model or a run.
    """
    name = distill.teacher
    if name == FLOAT_TEACHER:
        model, preprocess = _float_model(path, info), info.preprocess
    elif is_run(layout.run_of(Path(name))):
        model, preprocess = build(name), locate(name)[0].info.preprocess
    else:
        model, preprocess = _from_library(name), models.default_preprocess(name)
    names = outputs_of_run(info) if distill.features else []
    teacher = Teacher(model, info.preprocess, preprocess, names).eval()
    if name != FLOAT_TEACHER:
        _check(name, teacher, info)
    return teacher


class Teacher(nn.Module):
    """A model for images that were normalised for another one: by `given`, where it takes `wanted`.

    Attributes:
        names: of the modules of the model whose outputs are learned too.
    """

    INNER: ClassVar[str] = "model"

    gain: Tensor
    offset: Tensor

    def __init__(
        self, model: nn.Module, given: Preprocess, wanted: Preprocess, names: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)
        self._is_same = (given.mean, given.std) == (wanted.mean, wanted.std)
        mean, std = (torch.tensor(x)[:, None, None] for x in (given.mean, given.std))
        own_mean, own_std = (torch.tensor(x)[:, None, None] for x in (wanted.mean, wanted.std))
        self.register_buffer("gain", std / own_std)
        self.register_buffer("offset", (mean - own_mean) / own_std)

    def forward(self, images: Tensor) -> Any:
        return self.model(images if self._is_same else images * self.gain + self.offset)


def _float_model(path: Path, info: RunInfo) -> nn.Module:
    """The run's float baseline; without one the float model that it was fitted to, or that it began with."""
    model = build_info(info.undone())
    for weights in (path / layout.BASELINE / layout.LAST / layout.WEIGHTS, path / layout.PARENT):
        if weights.is_file():
            load_weights(model, weights)
            return model
    load_weights(model, path / layout.INITIAL, besides=added_keys(info))
    return model


def _from_library(name: str) -> nn.Module:
    try:
        return models.fetch(name, pretrained=True).model
    except ModelError as error:
        raise TrainingError(
            f'the teacher "{name}" cannot be had: {error.message}',
            "name a model with pretrained weights, a run, or float",
        ) from error


@torch.no_grad()
def _check(name: str, teacher: Teacher, info: RunInfo) -> None:
    size = info.preprocess.img_size
    try:
        classes = models.logits_of(teacher(torch.zeros(1, 3, *info.preprocess.sides))).shape[-1]
    except (RuntimeError, AssertionError, ValueError) as error:
        raise TrainingError(
            f'the teacher "{name}" does not take images of {img_size_text(size)} pixels: {error}',
            "choose one that does, or another data.img_size",
        ) from error
    wanted = len(info.classes) or models.num_classes(
        build_info(info)
    )  # which has no names for them
    if classes != wanted:
        raise TrainingError(
            f'the teacher "{name}" knows {classes} classes, and the data has {wanted}',
            "train it on the data first, and name that run",
        )
    own = dict(teacher.model.named_modules())
    for missing in (each for each in teacher.names if each not in own):
        raise TrainingError(
            f'the teacher "{name}" has no module "{missing}", whose output is to be learned',
            "features are for a teacher of the same architecture: name another, or float",
        )
