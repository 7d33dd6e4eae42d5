"""General optimisation of the exported graph, by onnxscript's and onnx_ir's own passes."""

from __future__ import annotations

import math

import onnx_ir as ir
from onnx_ir.passes.common import (
    CommonSubexpressionEliminationPass,
    LiftConstantsToInitializersPass,
    NameFixPass,
    OutputFixPass,
)
from onnxscript import optimizer, rewriter

ROUNDS = 2
LARGEST_VECTOR = 8192
"""Elements of a bias or norm that is made of a single number; more than any layer has channels."""


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
    """Not what a float table is spread out to, such as relative position biases (x 14): onnxruntime
    spreads it when it loads. None leaves the decision to the optimiser."""
    output = node.outputs[0]
    if output.dtype not in (None, ir.DataType.FLOAT):
        return None
    if node.op_type.startswith("Gather"):
        return False
    size = _elements(output)
    grows = size > LARGEST_VECTOR and size > sum(_elements(value) for value in node.inputs)
    return False if grows else None


def _elements(value: ir.Value | None) -> int:
    """How many, as far as that is known; else 0."""
    if value is None or value.shape is None or not value.shape.is_static():
        return 0
    return math.prod(value.shape.numpy())
