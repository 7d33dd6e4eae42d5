"""The native form: for our kernels alone, which hand each other words of 32 binary inputs.

    packed      op(x) -> y, 4 bytes a value -> Step(y) in the next op
    native      opPack(x) -> words, 1 bit a value -> the next op

Nothing in the file says what the ops compute, so stock onnxruntime refuses it; in standard ops, packing and
unpacking would make it a tenth slower (docs/op-spec.md).
"""

from __future__ import annotations

import onnx_ir as ir

from binarize.export.forms.calibration import Ranges
from binarize.export.functions import DOMAIN, VERSION
from binarize.export.passes import FuseStem, PackEdges


def write_native(model: ir.Model, ranges: Ranges | None = None) -> None:
    """Fuse what our kernels compute at once, and have binary ops hand on words."""
    FuseStem()(model)
    PackEdges()(model)
    model.opset_imports[DOMAIN] = VERSION
