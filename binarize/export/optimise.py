"""General optimisation of the exported graph, by onnxscript's and onnx_ir's own passes."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import (
    CommonSubexpressionEliminationPass,
    LiftConstantsToInitializersPass,
    NameFixPass,
    OutputFixPass,
)
from onnxscript import optimizer, rewriter

ROUNDS = 2


def optimise(model: ir.Model) -> None:
    """Fold constants, drop what is not used, merge pads and batch norms into float convolutions.

    `onnxscript.optimizer.optimize` without its last part: that stores equal float tensors once, which
    makes the size of a file depend on the values in it.
    """
    for _ in range(ROUNDS):
        optimizer.fold_constants(model, onnx_shape_inference=True, should_fold=_stays_small)
        rewriter.rewrite(model)
    ir.passes.Sequential(
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        CommonSubexpressionEliminationPass(),
        OutputFixPass(),
        NameFixPass(),
    )(model)


def _stays_small(node: ir.Node) -> bool | None:
    """Not a float table that a gather spreads out, such as relative position biases (x 14): onnxruntime
    spreads it when it loads. None leaves the decision to the optimiser."""
    table = node.inputs[0] if node.inputs else None
    spreads = node.op_type.startswith("Gather") and table is not None
    return False if spreads and table.dtype in (None, ir.DataType.FLOAT) else None
