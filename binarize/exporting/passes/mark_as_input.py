"""Frozen weights become graph inputs, out of the optimiser's reach."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir


class MarkAsInput(ir.passes.InPlacePass):
    """Hide the values of the frozen weights, so that general optimisations leave them whole.

    1. An initializer whose name is a frozen parameter's becomes a graph input of that name, type and
       shape: nothing can be folded into it or computed from it any more, but its shape is known.
    2. All else stays. A frozen parameter that the graph does not read is not missed.

    `PackWeights` takes the inputs away again.
    """

    def __init__(self, parameters: Iterable[str]) -> None:
        super().__init__()
        self.parameters = tuple(parameters)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        initializers = model.graph.initializers
        found = [name for name in self.parameters if name in initializers]
        for name in found:
            value = initializers.pop(name)
            value.const_value = None
            model.graph.inputs.append(value)
        return ir.passes.PassResult(model, bool(found))
