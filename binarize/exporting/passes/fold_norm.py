"""A batch normalisation behind a binary op goes into the op's scale and bias."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from binarize.exporting.functions import DOMAIN, FUNCTION_OPS
from binarize.exporting.passes.graph import constant, graph_of, only_user, replace_constant


class FoldNorm(ir.passes.InPlacePass):
    """y = (op(x, bits, s, b) - mean)·g/sqrt(var + eps) + shift  ->  y = op(x, bits, s', b')

    1. The normalisation is the only reader of the op's output, is not in training mode, and its four
       parameters and the op's scale and bias are constants. Nothing was fused to the op's end.
    2. The channels that it normalises are the op's outputs: always for a convolution, and for a linear
       op where its result has two dimensions.
    3. r = g/sqrt(var + eps); s' = s·r; b' = (b - mean)·r + shift, computed in float64. s' may be
       negative: then bit 1 stands for the negative value. Ops with binary inputs multiply by s' after the
       sum, so that it stays one of integers. Of several bases, each has an s.
    4. The bits, which other nodes may share, stay; s and b are replaced for this node alone.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        folded = [_fold(model.graph, node) for node in tuple(model.graph)]
        return ir.passes.PassResult(model, any(folded))


def _fold(graph: ir.Graph, node: ir.Node) -> bool:
    if not _is_ours(node):
        return False
    norm = only_user(node.outputs[0])
    if norm is None or norm.op_type != "BatchNormalization" or not _same_channels(node):
        return False
    if norm.attributes.get_int("training_mode", 0):
        return False
    scale, bias = constant(node.inputs[2]), constant(node.inputs[3])
    values = [constant(value) for value in norm.inputs[1:]]
    known = [value.astype(np.float64) for value in values if value is not None]
    if scale is None or bias is None or len(known) < len(values):
        return False
    gain, shift, mean, variance = known
    ratio = gain / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
    replace_constant(graph, node, 2, scale * ratio)
    replace_constant(graph, node, 3, (bias - mean) * ratio + shift)
    _take_over(node, norm)
    return True


def _is_ours(node: ir.Node) -> bool:
    op = FUNCTION_OPS.get(node.op_type) if node.domain == DOMAIN else None
    return op is not None and not op.epilogue


def _same_channels(node: ir.Node) -> bool:
    if FUNCTION_OPS[node.op_type].product == "Conv":
        return True
    shape = node.outputs[0].shape
    return shape is not None and len(shape) == 2


def _take_over(node: ir.Node, norm: ir.Node) -> None:
    output, normalised = node.outputs[0], norm.outputs[0]
    normalised.replace_all_uses_with(output, replace_graph_outputs=True)
    output.name, output.shape, output.type = normalised.name, normalised.shape, normalised.type
    graph_of(norm).remove(norm, safe=True)
