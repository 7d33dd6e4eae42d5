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
LARGEST_FOLDED = 1024
"""Elements. Shape arithmetic is far below; a bias table that a gather spreads out is far above, and
stays small in the file: onnxruntime spreads it when it loads."""


def optimise(model: ir.Model) -> None:
    """Fold constants, drop what is not used, merge pads and batch norms into float convolutions.

    `onnxscript.optimizer.optimize` without its last part: that stores equal float tensors once, which
    makes the size of a file depend on the values in it.
    """
    for _ in range(ROUNDS):
        optimizer.fold_constants(
            model, onnx_shape_inference=True, output_size_limit=LARGEST_FOLDED
        )
        rewriter.rewrite(model)
    ir.passes.Sequential(
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        CommonSubexpressionEliminationPass(),
        OutputFixPass(),
        NameFixPass(),
    )(model)
