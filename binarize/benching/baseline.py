"""The float model that a file is held against: built from what the file says about itself.

The file knows the name of its architecture and its arguments, so the float model is built again, with random
weights, and exported as any float model is: what it computes does not matter to how long that takes. Block
surgery is left out, a replaced stem is kept: so is the float baseline that a recipe trains.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from binarize import models
from binarize.benching.entries import Entry, File
from binarize.benching.int8 import quantise
from binarize.exporting import export
from binarize.models.attributes import set_attribute
from binarize.rewrite import build_info
from binarize.run import RunInfo
from binarize.runtime import FileInfo

FLOAT = "float"
INT8 = "float-int8"


BITS = 32
"""How many times smaller than float weights a file of 1-bit weights may be."""


def export_float(info: FileInfo, path: Path, weights: Path) -> None:
    """Write the float model of a file's architecture. Raises BinarizeError where it cannot be built here:
    a module of the caller's own, one that the library no longer has, or one far larger than the file
    `weights` that describes it."""
    described = RunInfo(
        kind="converted",
        model=info.model,
        conversion=info.conversion,
        weights="random",
        preprocess=info.preprocess,
    ).undone()
    with torch.random.fork_rng(), models.budget_of(weights, BITS):
        torch.manual_seed(0)
        model = build_info(described)
    set_attribute(model, "binarize_info", described.replace(conversion=None))
    export(model, path, with_preprocess=info.with_preprocess)


def float_entry(file: File, folder: Path) -> Entry:
    """The float model of `file`, written into `folder`. Raises BinarizeError as `export_float` does."""
    path = _place(folder, FLOAT)
    export_float(file.info, path, file.path)
    name = name_of(file.info)
    return Entry(name, path, FLOAT, False, file.architecture, baseline=True, given=False)


def int8_entry(entry: Entry, folder: Path) -> Entry:
    """The float model of `entry` as onnxruntime quantises it. Raises ExportError where it cannot."""
    path = _place(folder, INT8)
    quantise(entry.path, path)
    return replace(entry, path=path, form=INT8, baseline=False, given=False)


def name_of(info: FileInfo) -> str:
    """`timm/resnet18`."""
    return info.model.title


def _place(folder: Path, form: str) -> Path:
    return folder / f"{len(list(folder.iterdir()))}-{form}.onnx"
