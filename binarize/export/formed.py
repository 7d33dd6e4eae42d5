"""A graph of our ops in the form that was asked for, calibrated where that form rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from binarize.export.forms import DEFAULT_FORM, FLOAT, FORMS
from binarize.export.forms.calibration import clone, ranges
from binarize.export.forms.inline import write_inline
from binarize.export.images import calibration_images
from binarize.export.subject import Subject
from binarize.progress import Progress


@dataclass(frozen=True)
class Formed:
    """A graph in its form.

    Attributes:
        graph: what is written.
        twin: makes the clip twin of it, as a file's content; None: the functions in the file say how.
        calibrated_on: the images that ranges of activations come from, in words; None where none do.
        kernels: whether ours are needed to run it.
    """

    graph: ir.Model
    twin: Callable[[], bytes] | None = None
    calibrated_on: str | None = None
    kernels: bool = False


def put_into_form(graph: ir.Model, form: str, subject: Subject, progress: Progress) -> Formed:
    """Put `graph`, with our ops, into that form, in place."""
    if form == FLOAT:
        return Formed(graph)
    chosen = FORMS[form]
    if form == DEFAULT_FORM:
        chosen.apply(graph, None)
        return Formed(graph)
    ours, found, words = clone(graph), None, None
    if chosen.quantises(graph):
        progress.task("calibrating")
        images = calibration_images(subject)
        found, words = ranges(graph, images.batches()), images.words
    chosen.apply(graph, found)

    def twin() -> bytes:
        copied = clone(ours)
        write_inline(copied, clipped=True)
        return ir.to_proto(copied).SerializeToString()

    return Formed(graph, twin, words, chosen.kernels)
