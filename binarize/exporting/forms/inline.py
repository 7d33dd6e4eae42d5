"""The inline form: standard ops alone, the bits unpacked by ops that a runtime folds when it loads.

    signs    = Reshape(Cast<bool>(BitwiseAnd(bits[n, 1], masks[8])), shape)   cut first where 8·n is more
    W1A32    weight = Where(signs, s, -s)        y = Conv(x, weight, bias) or MatMul(x, weight) + bias
    W1A1     weight = Where(signs, 1, -1)        y = Clip(product(b, weight))·scale + bias

OpenVINO compiles `BitwiseAnd` several times faster than the `Gather` that onnxruntime prefers.
"""

from __future__ import annotations

import functools

import onnx_ir as ir

from binarize.exporting.forms.calibration import Ranges
from binarize.exporting.forms.emit import Emitter, above, along, attributes, rewrite
from binarize.exporting.functions import Op
from binarize.exporting.passes.graph import elements_of, input_of
from binarize.layers.activation import SLOPE

LIMIT = 3e38


def write_inline(model: ir.Model, ranges: Ranges | None = None, smooth: bool = False) -> None:
    """Replace every binarize op. `smooth`: by those of the smooth surrogate (see `disagreements`), never for
    a file."""
    rewrite(model, functools.partial(write_op, smooth=smooth))


def write_op(emit: Emitter, node: ir.Node, op: Op, smooth: bool = False) -> None:
    """One op in standard ops."""
    if op.several:
        _summed(emit, node, op, smooth)
    elif op.binary:
        _integer(emit, node, op, smooth)
    elif op.product == "Conv":
        x, _, scale, bias = (input_of(node, index) for index in range(4))
        shape = node.attributes.get_ints("shape")
        scale = emit.shaped(scale, [shape[0], *[1] * (len(shape) - 1)])
        weight = emit("Where", emit.signs(), scale, emit("Neg", scale))
        emit.finish("Conv", x, weight, bias, **attributes(node))
    else:
        x, _, scale, bias = (input_of(node, index) for index in range(4))
        weight = emit("Where", emit.signs(columns=True), scale, emit("Neg", scale))
        emit.finish("Add", emit("MatMul", x, weight), bias)


def _summed(emit: Emitter, node: ir.Node, op: Op, smooth: bool) -> None:
    """Several bases: one product by the sum of them all."""
    x, _, scale, bias = (input_of(node, index) for index in range(4))
    if op.binary:
        x = (_smooth if smooth else _binary)(emit, node, op)
    shape, convolves = node.attributes.get_ints("shape"), op.product == "Conv"
    ones = [1] * (len(shape) - 1)
    bases = len(elements_of(scale))
    scale = emit.shaped(scale, [bases, shape[0], *ones] if convolves else [bases, 1, shape[0]])
    signed = emit("Where", emit.signs(columns=not convolves), scale, emit("Neg", scale))
    weight = emit("ReduceSum", signed, emit.ints([0]), keepdims=0)
    if convolves:
        emit.finish("Conv", x, weight, bias, **attributes(node))
    else:
        emit.finish("Add", emit("MatMul", x, weight), bias)


def _integer(emit: Emitter, node: ir.Node, op: Op, smooth: bool) -> None:
    scale, bias = (along(node, op, input_of(node, index), emit) for index in (2, 3))
    one, minus = emit.scalar(1.0), emit.scalar(-1.0)
    b = (_smooth if smooth else _binary)(emit, node, op)
    weight = emit("Where", emit.signs(columns=op.product == "Linear"), one, minus)
    if op.product == "Conv":
        product = emit("Conv", b, weight, **attributes(node))
    else:
        product = emit("MatMul", b, weight)
    # onnxruntime must not multiply the scale into the weight: see docs/op-spec.md
    exact = emit("Clip", product, emit.scalar(-LIMIT), emit.scalar(LIMIT))
    emit.finish("Add", emit("Mul", exact, scale), bias)


def _binary(emit: Emitter, node: ir.Node, op: Op) -> ir.Value:
    smaller = emit.scalar(-1.0 if op.binary == "Sign" else 0.0)
    return emit("Where", above(emit, node, op), emit.scalar(1.0), smaller)


def _smooth(emit: Emitter, node: ir.Node, op: Op) -> ir.Value:
    x, boundary = input_of(node, 0), input_of(node, 4)
    slope, one = emit.scalar(SLOPE), emit.scalar(1.0)
    if op.binary == "Sign":
        smoothed = emit("Mul", emit("Add", x, along(node, op, boundary, emit)), slope)
        return emit("Clip", smoothed, emit.scalar(-1.0), one)
    smoothed = emit("Mul", emit("Sub", x, boundary), slope)
    return emit("Clip", emit("Add", smoothed, emit.scalar(0.5)), emit.scalar(0.0), one)
