"""The packed form: the nodes stay, and the file says in functions what they mean."""

from __future__ import annotations

import onnx_ir as ir

from binarize.export.forms.calibration import Ranges
from binarize.export.functions import append_functions


def write_packed(model: ir.Model, ranges: Ranges | None = None) -> None:
    """Give the graph the functions of its ops."""
    append_functions(model)
