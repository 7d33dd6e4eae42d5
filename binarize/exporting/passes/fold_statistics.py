"""Of a batch normalisation that stays, two vectors are stored instead of four."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from binarize.exporting.passes.graph import (
    add_constant,
    constant,
    drop_unread,
    replace_constant,
)

Spread = dict[tuple[float, int], ir.Value]
"""(number, length) -> a vector of it."""


class FoldStatistics(ir.passes.InPlacePass):
    """BatchNormalization(x, g, shift, mean, var)  ->  BatchNormalization<epsilon = 0>(x, g', shift', 0, 1)

    1. The four are constants, and the node is not in training mode.
    2. g' = g/sqrt(var + eps); shift' = shift - mean·g', computed in float64.
    3. Zeros and ones come from a ConstantOfShape for each length, which a runtime folds when it makes the
       session. The op stays: in its place, a product and a sum would each go over x.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        spread: Spread = {}
        folded = [_fold(model.graph, node, spread) for node in tuple(model.graph)]
        drop_unread(model.graph)
        return ir.passes.PassResult(model, any(folded))


def _fold(graph: ir.Graph, norm: ir.Node, spread: Spread) -> bool:
    if norm.op_type != "BatchNormalization" or norm.attributes.get_int("training_mode", False):
        return False
    values = [constant(value) for value in norm.inputs[1:]]
    known = [value.astype(np.float64) for value in values if value is not None]
    if len(known) < len(values):
        return False
    gain, shift, mean, variance = known
    ratio = gain / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
    replace_constant(graph, norm, 1, ratio)
    replace_constant(graph, norm, 2, shift - mean * ratio)
    norm.replace_input_with(3, _vector(graph, 0.0, len(gain), spread))
    norm.replace_input_with(4, _vector(graph, 1.0, len(gain), spread))
    norm.attributes.add(ir.AttrFloat32("epsilon", 0.0))
    return True


def _vector(graph: ir.Graph, number: float, length: int, spread: Spread) -> ir.Value:
    if (number, length) not in spread:
        shape = add_constant(graph, f"{length}", np.asarray([length]))
        filled = {"value": ir.tensor(np.asarray([number], np.float32))}
        node = ir.node("ConstantOfShape", [shape], filled, num_outputs=1)
        vector = node.outputs[0]
        vector.name, vector.type = f"{number:g}x{length}", ir.TensorType(ir.DataType.FLOAT)
        vector.shape = ir.Shape([length])
        graph.insert_before(graph[0], node)
        spread[number, length] = vector
    return spread[number, length]
