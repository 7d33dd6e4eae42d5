"""A binary network is fitted to the float network that it was converted from, on images without labels.

fit_converted   what a conversion made, to what it was made from
matched         which outputs are compared, by the recorded graph
outputs         what a network returns inside, and how far two networks are apart
parent          the float network's outputs, computed once
images          of a folder, a tar or a loader
norms           batch norms while a network is fitted, and their statistics
fit             the loop
sensitivity     what one binary layer alone does
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from binarize.fitting.fit import IMAGES, STEPS, fit
from binarize.fitting.images import CalibrationData, FitImages, read_images
from binarize.fitting.matched import matched_outputs, outputs_of_run
from binarize.fitting.outputs import Watched
from binarize.fitting.sensitivity import LayerSensitivity, sensitivities
from binarize.models.attributes import set_attribute
from binarize.progress import Progress
from binarize.rewrite import Converted, find_part
from binarize.rewrite.capture import Size

__all__ = [
    "IMAGES",
    "STEPS",
    "CalibrationData",
    "FitImages",
    "LayerSensitivity",
    "Watched",
    "fit",
    "fit_converted",
    "matched_outputs",
    "outputs_of_run",
    "read_images",
    "sensitivities",
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
    model, record = converted.conversion.model, converted.conversion.replay
    part = find_part(model, size, record.submodule)
    binary = {row.name for row in converted.conversion.rows if row.action == "binarized"}
    names = matched_outputs(converted.conversion.trace, binary)
    before = next(model.parameters()).device
    device = torch.accelerator.current_accelerator(check_available=True) or before
    try:
        model.to(device)
        parent.to(device)
        network = Watched(model, names, part.submodule)
        found = fit(network, parent, images, steps=steps, seed=seed, progress=progress)
    finally:
        model.to(before)
        parent.to(before)
    info = converted.info.replace(fit=found)
    set_attribute(model, "binarize_info", info)
    return replace(converted, info=info, parent=parent)
