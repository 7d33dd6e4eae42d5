"""Padding with zeros stays separate from the max pooling behind it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from binarize.exporting.passes.graph import add_constant, graph_of, input_of, name_of

LIMIT = np.float32(3e38)


class SeparatePoolPadding(ir.passes.InPlacePass):
    """Put a Clip that changes nothing between a Pad and the MaxPool that reads it.

    1. onnxruntime (1.31.1 at least) makes Pad and MaxPool one node, whose padding never wins: as if padded
       with -inf. A Pad of zeros does win over negative values (the stem of timm's resnetv2 and others).
    2. A MaxPool with padding of its own, without a Pad before it, stays as it is.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        pools = [node for node in model.graph.all_nodes() if _pools_padded(node)]
        for pool in pools:
            _separate(model.graph, pool)
        return ir.passes.PassResult(model, bool(pools))


def _pools_padded(node: ir.Node) -> bool:
    before = node.inputs[0].producer() if node.op_type == "MaxPool" and node.inputs[0] else None
    return before is not None and before.op_type == "Pad"


def _separate(graph: ir.Graph, pool: ir.Node) -> None:
    limits = [
        add_constant(graph, "lowest", np.asarray(-LIMIT)),
        add_constant(graph, "highest", np.asarray(LIMIT)),
    ]
    clip = ir.node("Clip", [pool.inputs[0], *limits], num_outputs=1)
    clip.outputs[0].name = f"{name_of(input_of(pool, 0))}_parted"
    graph_of(pool).insert_before(pool, clip)
    pool.replace_input_with(0, clip.outputs[0])
