"""Build a run's module again: replay its making, then load its weights. No pickle anywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from torch import nn

from binarize import models
from binarize.errors import BinarizeError, RunError
from binarize.layers import AddedModule
from binarize.rewrite.convert import replay
from binarize.run import Run, RunInfo, layout, locate
from binarize.run.model import CUSTOM
from binarize.run.weights import load_weights


def build(run: Run | str | Path) -> nn.Module:
    """The module of a run with its weights, in eval mode.

    `run` may also be the directory of one of its checkpoints (RUN/best, RUN/last). Raises RunError for
    a module that came from the caller's own code, CheckpointError where the weights do not fit.
    """
    run, weights = locate(run)
    model = build_named(run.info, run.path / layout.INFO, weights)
    load_weights(model, weights)
    return model.eval()


def build_named(info: RunInfo, file: Path, weights: Path) -> nn.Module:
    """`build_info` of what `file` says, which is named where it says something that cannot be built, or a
    network that is far larger than its `weights`."""
    if info.model.library == CUSTOM:
        return build_info(info)  # which knows more to say of it than where it stands
    with said_of(file), models.budget_of(weights):
        return build_info(info)


@contextlib.contextmanager
def said_of(file: Path) -> Iterator[None]:
    """In this block an error is one of what `file` says, which its sentence names."""
    try:
        yield
    except BinarizeError as problem:
        raise RunError(f'"{file}": {problem.message}', problem.hint) from problem


def build_info(info: RunInfo) -> nn.Module:
    """The module that `info` describes, with random weights."""
    model = _own(info) if info.model.library == CUSTOM else models.create(info.model)
    return replay(model, info.conversion) if info.conversion else model


def _own(info: RunInfo) -> nn.Module:
    """The module of the user's own code, if he has named that. Raises RunError where he has not."""
    model = models.rebuild(info.model)
    if model is None:
        raise RunError(
            f"this run holds a module of the caller's own code ({info.model.name}), and imports none itself",
            f"name its code: --code {info.code or 'FILE.py:NAME'}, or in Python binarize.own_code(…)",
        )
    return model


def added_keys(info: RunInfo) -> set[str]:
    """The keys of a run's weights that its conversion added: thresholds, shifts, scales, slopes."""
    if not info.binary:
        return set()
    return {
        f"{path}.{key}"
        for path, module in build_info(info).named_modules()
        if isinstance(module, AddedModule)
        for key in module.state_dict()
    }
