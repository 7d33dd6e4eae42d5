"""The native form: for the binarize kernels alone, which pass each other uint32 words of 32 binary inputs.

    packed      op(x) -> y, 4 bytes a value -> Step(y) in the next op
    native      opPack(x) -> words, 1 bit a value -> the next op

Nothing in the file says what the ops compute, so stock onnxruntime refuses it; in standard ops, packing and
unpacking would make it a tenth slower (docs/op-spec.md).
"""

from __future__ import annotations

import onnx_ir as ir

from binarize.exporting.forms.calibration import Ranges
from binarize.exporting.functions import DOMAIN, VERSION
from binarize.exporting.passes import FuseStem, PackActivations


def write_native(model: ir.Model, ranges: Ranges | None = None) -> None:
    """Fuse what the binarize kernels compute at once, and have binary ops pass bit-packed activations."""
    FuseStem()(model)
    PackActivations()(model)
    model.opset_imports[DOMAIN] = VERSION
