"""A binary network is fitted to the float network that it was converted from, on images without labels.

fit_converted   what a conversion made, to what it was made from
matched         which outputs are compared, by the recorded graph
outputs         what a network returns inside, and how far two networks are apart
parent          the float network's outputs, computed once
images          of a folder, a tar or a loader
norms           batch norms while a network is fitted, and their statistics
fit             the loop
sensitivity     what one binary layer alone does
allocation      which layers get how many bases, in so many bytes
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from binarize.fitting.fit import BATCH, IMAGES, STEPS, fit
from binarize.fitting.images import (
    CalibrationData,
    FitImages,
    calibration_images,
    read_images,
)
from binarize.fitting.matched import matched_outputs, outputs_of_run
from binarize.fitting.outputs import Watched
from binarize.fitting.sensitivity import sensitivities
from binarize.models.attributes import set_attribute
from binarize.progress import Progress
from binarize.rewrite import Converted, find_part
from binarize.rewrite.capture import Size

__all__ = [
    "BATCH",
    "IMAGES",
    "STEPS",
    "CalibrationData",
    "FitImages",
    "Watched",
    "calibration_images",
    "fit",
    "fit_converted",
    "matched_outputs",
    "on_accelerator",
    "outputs_of_run",
    "read_images",
    "sensitivities",
    "watched",
]


def fit_converted(
    converted: Converted,
    parent: nn.Module,
    size: Size,
    images: FitImages,
    *,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Converted:
    """The same conversion, with its model fitted in place to the float `parent`, on an accelerator where
    there is one. `size` is that of the images that the whole model takes. Both models end in eval mode."""
    model = converted.conversion.model
    network = watched(converted, size)
    with on_accelerator(model, parent):
        found = fit(network, parent, images, steps=steps, seed=seed, progress=progress)
    info = converted.info.replace(fit=found)
    set_attribute(model, "binarize_info", info)
    return replace(converted, info=info, parent=parent)


def watched(converted: Converted, size: Size) -> Watched:
    """A converted network, with the modules whose outputs are compared with those of its float parent."""
    model, record = converted.conversion.model, converted.conversion.replay
    part = find_part(model, size, record.submodule)
    binary = {row.name for row in converted.conversion.rows if row.action == "binarized"}
    names = matched_outputs(converted.conversion.trace, binary)
    return Watched(model, names, part.submodule)


@contextlib.contextmanager
def on_accelerator(*models: nn.Module) -> Iterator[None]:
    """The models are on an accelerator in the block, where there is one, and where they were after it."""
    before = [next(model.parameters()).device for model in models]
    device = torch.accelerator.current_accelerator(check_available=True)
    try:
        for model in models if device is not None else ():
            model.to(device)
        yield
    finally:
        for model, own in zip(models, before, strict=True):
            model.to(own)
