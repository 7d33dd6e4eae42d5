"""A graph of binarize ops in the form that was asked for, calibrated where that form rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from binarize.errors import ExportError
from binarize.exporting.forms import DEFAULT_FORM, FLOAT, FORMS
from binarize.exporting.forms.calibration import clone, ranges
from binarize.exporting.forms.inline import write_inline
from binarize.exporting.functions import BASES_OPS, DOMAIN
from binarize.exporting.images import calibration_images
from binarize.exporting.subject import Subject
from binarize.progress import Progress


@dataclass(frozen=True)
class LoweredModel:
    """A graph in its form.

    Attributes:
        graph: what is written.
        surrogate: makes the smooth surrogate of it, as a file's content; None: the functions in the file say
            how.
        calibrated_on: the images that ranges of activations come from, in words; None where none do.
        kernels: whether the binarize kernels are needed to run it.
    """

    graph: ir.Model
    surrogate: Callable[[], bytes] | None = None
    calibrated_on: str | None = None
    kernels: bool = False


def _check_bases(graph: ir.Model, form: str) -> None:
    """Raises ExportError for a weight of several bases that the form cannot hold."""
    for node in graph.graph:
        op = BASES_OPS.get(node.op_type) if node.domain == DOMAIN else None
        if op is not None and not FORMS[form].bases(op):
            raise ExportError(
                f'the {form} form cannot hold the several bases of layer "{node.name}"',
                "take --form packed or --form inline",
            )


def lower(graph: ir.Model, form: str, subject: Subject, progress: Progress) -> LoweredModel:
    """Put `graph`, with binarize ops, into that form, in place."""
    if form == FLOAT:
        return LoweredModel(graph)
    chosen = FORMS[form]
    _check_bases(graph, form)
    if form == DEFAULT_FORM:
        chosen.apply(graph, None)
        return LoweredModel(graph)
    own, found, description = clone(graph), None, None
    if chosen.quantises(graph):
        progress.task("calibrating")
        images = calibration_images(subject)
        found, description = ranges(graph, images.batches()), images.description
    chosen.apply(graph, found)

    def surrogate() -> bytes:
        copied = clone(own)
        write_inline(copied, smooth=True)
        return ir.to_proto(copied).SerializeToString()

    return LoweredModel(graph, surrogate, description, chosen.kernels)
