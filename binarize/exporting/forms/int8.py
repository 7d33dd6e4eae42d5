"""The int8 form: sums of integers by standard ops, for runtimes that are faster at them.

    weight  = Where(signs, 2, 0), uint8 with zero point 1: ±1 for `ConvInteger` and `MatMulInteger`
    W1A1    b int8, ±1 or {0, 1}                   y = float(sum)·scale + bias: exact
    W1A32   q = QuantizeLinear(x, d, zero point)   y = float(sum)·(scale·d) + bias: 8 bits of x (W1A8)

d and the zero point of each layer come from the range of x over calibration images. In a model with binary
inputs, the few layers without one are written as in the inline form, so that the file is exact. int8
activations are refused by older runtimes (onnxruntime 1.22); with uint8 ones some compute other numbers.
"""

from __future__ import annotations

import functools

import numpy as np
import onnx_ir as ir

from binarize.errors import ExportError
from binarize.exporting.forms.calibration import Ranges
from binarize.exporting.forms.emit import FLOAT32, INT8, Emitter, above, along, attributes, rewrite
from binarize.exporting.forms.inline import write_op
from binarize.exporting.functions import DOMAIN, FUNCTION_OPS, Op
from binarize.exporting.passes.graph import elements_of, input_of

LOWEST, SPAN = -128, 255


def quantises(model: ir.Model) -> bool:
    """Whether activations are rounded: where no layer's input is binary."""
    own = [FUNCTION_OPS[node.op_type] for node in model.graph if node.domain == DOMAIN]
    return bool(own) and not any(op.binary for op in own)


def write_int8(model: ir.Model, ranges: Ranges | None = None) -> None:
    """Replace every binarize op; `ranges` of the inputs by node name, where the model is quantised."""
    rounds = quantises(model)
    rewrite(model, functools.partial(_write, ranges=ranges if rounds else None))


def _write(emit: Emitter, node: ir.Node, op: Op, ranges: Ranges | None) -> None:
    input_scale: float | np.float32 = 1.0
    if op.binary:
        x, zero = _binary(emit, node, op), emit.scalar(0, np.int8)
    elif ranges is None:
        write_op(emit, node, op)
        return
    else:
        input_scale, zero_point = quantisation(*_range(ranges, node))
        zero = emit.scalar(zero_point, np.int8)
        x = emit(
            "QuantizeLinear", node.inputs[0], emit.constant(f"{node.name}.step", input_scale), zero
        )
    scale, bias = input_of(node, 2), input_of(node, 3)
    if input_scale != 1.0:
        scale = emit.restored(
            scale, (elements_of(scale) * np.float64(input_scale)).astype(np.float32)
        )
    scale, bias = (along(node, op, value, emit) for value in (scale, bias))
    signs = emit.signs(columns=op.product == "Linear")
    weight = emit("Where", signs, emit.scalar(2, np.uint8), emit.scalar(0, np.uint8))
    one = emit.scalar(1, np.uint8)
    if op.product == "Conv":
        total = emit("ConvInteger", x, weight, zero, one, **attributes(node))
    else:
        total = emit("MatMulInteger", x, weight, zero, one)
    emit.finish("Add", emit("Mul", emit("Cast", total, to=FLOAT32), scale), bias)


def _binary(emit: Emitter, node: ir.Node, op: Op) -> ir.Value:
    larger = above(emit, node, op)
    if op.binary == "Sign":  # chosen as float: onnxruntime 1.18 to 1.22 have no Where of int8
        larger = emit("Where", larger, emit.scalar(1.0), emit.scalar(-1.0))
    return emit("Cast", larger, to=INT8)


def _range(ranges: Ranges, node: ir.Node) -> tuple[float, float]:
    name = node.name or ""
    if name not in ranges:
        raise ExportError(
            f'layer "{name}" was not calibrated',
            "this is a defect of binarize: please report the model's name",
        )
    return ranges[name]


def quantisation(low: float, high: float) -> tuple[np.float32, int]:
    """(scale, zero point) of int8 over [low, high] with 0, which padding needs to be exact."""
    low, high = min(low, 0.0), max(high, 0.0)
    input_scale = np.float32((high - low) / SPAN or 1.0)
    return input_scale, int(np.clip(np.round(LOWEST - low / input_scale), LOWEST, LOWEST + SPAN))
