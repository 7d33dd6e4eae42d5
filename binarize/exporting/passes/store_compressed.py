"""The classifier's weight, stored with fewer bits."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from binarize.exporting.classifier import CompressedTensor
from binarize.exporting.passes.graph import add_constant, name_of


class StoreCompressed(ir.passes.InPlacePass):
    """Compute a weight W that is a graph input from the compressed tensor that is stored for it.

    1. fp16: W = Cast<float>(LAYER.weight). int8: W = Cast<float>(LAYER.weight)·LAYER.weight_scale.
    2. onnxruntime computes both once, when it makes the session; DequantizeLinear it would compute in
       every run.
    3. W is no graph input any more; its readers stay as they are.
    """

    def __init__(self, stored: Mapping[str, CompressedTensor]) -> None:
        super().__init__()
        self.stored = stored

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        marked = [value for value in graph.inputs if value.name in self.stored]
        for value in marked:
            key = name_of(value)
            compressed = self.stored[key]
            graph.inputs.remove(value)
            value.name = f"{key}_float"
            nodes = [ir.node("Cast", [add_constant(graph, key, compressed.elements)], {"to": 1})]
            if compressed.scale is not None:
                scale = add_constant(graph, f"{key}_scale", compressed.scale)
                nodes.append(ir.node("Mul", [nodes[0].outputs[0], scale]))
                nodes[0].outputs[0].name = f"{key}_steps"
            output = nodes[-1].outputs[0]
            value.replace_all_uses_with(output)
            output.name, output.shape, output.type = value.name, value.shape, value.type
            graph.insert_before(graph[0], nodes)
        return ir.passes.PassResult(model, bool(marked))
