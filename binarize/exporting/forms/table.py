"""The table of forms: how a file holds what ONNX has no type for.

packed   nodes of domain `binarize`, with functions that say what they compute
inline   the same in standard ops alone, bit by bit: for runtimes that refuse functions
int8     products of integers, by standard ops: binary inputs exactly, float ones rounded to 8 bits
native   what the binarize kernels alone compute, with one bit a value between binary layers

A form rewrites the ops of domain `binarize`, as the passes leave them, in place. To add one: a file here, a
line in `FORMS`, the word in the recipe's schema, which a test holds together, and its bytes in `export.size`;
the command and the tests iterate the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from binarize.exporting.forms.calibration import Ranges
from binarize.exporting.forms.inline import write_inline
from binarize.exporting.forms.int8 import quantises, write_int8
from binarize.exporting.forms.native import write_native
from binarize.exporting.forms.packed import write_packed
from binarize.exporting.functions import Op
from binarize.runtime import NATIVE


@dataclass(frozen=True)
class Form:
    """One form.

    Attributes:
        description: what it is, for the help of the command.
        apply: rewrites a graph; ranges are needed where the form quantises it.
        quantises: whether activations of this graph are rounded, so that the file is not exact.
        kernels: whether the binarize kernels alone can run it.
        bases: whether it can hold an op of several bases.
    """

    description: str
    apply: Callable[[ir.Model, Ranges | None], None]
    quantises: Callable[[ir.Model], bool] = lambda _: False
    kernels: bool = False
    bases: Callable[[Op], bool] = lambda _: True


FORMS: dict[str, Form] = {
    "packed": Form("1 bit a weight, functions for onnxruntime", write_packed),
    "inline": Form("1 bit a weight, standard ops alone, for OpenVINO and others", write_inline),
    "int8": Form(
        "1 bit a weight, sums of integers in standard ops",
        write_int8,
        quantises,
        bases=lambda _: False,
    ),
    NATIVE: Form(
        "1 bit a weight, and between binary layers, for the binarize kernels alone",
        write_native,
        kernels=True,
        bases=lambda op: bool(op.binary),  # not every tier computes others
    ),
}
DEFAULT_FORM = "packed"
FLOAT = "float"
"""What the file of a model without binary layers calls itself, whatever form was asked for."""
