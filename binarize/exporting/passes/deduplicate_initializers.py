"""Equal constants that are not learned are stored once."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

INTEGERS = {
    *(ir.DataType.INT64, ir.DataType.INT32, ir.DataType.INT16, ir.DataType.INT8),
    *(ir.DataType.BOOL, ir.DataType.UINT8, ir.DataType.UINT16),
}


class DeduplicateInitializers(ir.passes.InPlacePass):
    """Store equal integer initializers (shapes, axes, index tables, bits) and float tables once.

    1. Equal means: of one type, one shape and with equal elements.
    2. Of float initializers those named in `tables` are shared: buffers, which a model computes when it is
       made. Others stay separate even where they are equal, as fresh biases and norms are: the size of a
       file depends on the model's structure and not on whether it is trained.
    """

    def __init__(self, tables: Iterable[str] = ()) -> None:
        super().__init__()
        self.tables = frozenset(tables)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        initializers = model.graph.initializers
        first: dict[tuple[int, tuple[int, ...], bytes], ir.Value] = {}
        shared = False
        for name, value in tuple(initializers.items()):
            tensor = value.const_value
            if tensor is None or value.is_graph_output():
                continue
            if tensor.dtype not in INTEGERS and name not in self.tables:
                continue
            key = (int(tensor.dtype), tuple(tensor.shape.numpy()), tensor.tobytes())
            original = first.setdefault(key, value)
            if original is not value:
                value.replace_all_uses_with(original)
                initializers.pop(name)
                shared = True
        return ir.passes.PassResult(model, shared)
