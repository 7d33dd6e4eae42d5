"""Equal integer constants are stored once."""

from __future__ import annotations

import onnx_ir as ir

INTEGERS = {ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL, ir.DataType.UINT8}


class DeduplicateInitializers(ir.passes.InPlacePass):
    """Store equal integer initializers (shapes, axes, index tables, bits) once.

    1. Equal means: of one type, one shape and with equal elements.
    2. Float initializers stay separate even where they are equal, as fresh biases and norms are: the size of
       a file depends on the model's structure and not on whether it is trained.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        initializers = model.graph.initializers
        first: dict[tuple[int, tuple[int, ...], bytes], ir.Value] = {}
        shared = False
        for name, value in tuple(initializers.items()):
            tensor = value.const_value
            if tensor is None or tensor.dtype not in INTEGERS or value.is_graph_output():
                continue
            key = (int(tensor.dtype), tuple(tensor.shape.numpy()), tensor.tobytes())
            original = first.setdefault(key, value)
            if original is not value:
                value.replace_all_uses_with(original)
                initializers.pop(name)
                shared = True
        return ir.passes.PassResult(model, shared)
