"""The packed form: the nodes stay, and the file says in functions what they mean."""

from __future__ import annotations

import onnx_ir as ir

from binarize.exporting.forms.calibration import Ranges
from binarize.exporting.functions import append_functions
from binarize.exporting.passes import ChooseDomain, FuseStem


def write_packed(model: ir.Model, ranges: Ranges | None = None) -> None:
    """Fuse what the binarize kernels compute at once, leave to onnxruntime what it computes faster, and
    give the graph the functions of its ops."""
    FuseStem()(model)
    ChooseDomain()(model)
    append_functions(model)
