"""A frozen module to the graph that is written: trace, optimise, pack, tidy."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, RemoveUnusedOpsetsPass
from torch import nn

from binarize.errors import ExportError
from binarize.export.functions import append_functions
from binarize.export.optimise import optimise
from binarize.export.passes import (
    FoldNorm,
    FuseInputs,
    PackWeights,
    PartPools,
    SealWeights,
    ShareIntegers,
    Tidy,
)
from binarize.export.trace import Size, quiet, trace
from binarize.layers import FrozenWeight

IR_VERSION = 10
"""What onnxruntime 1.18 reads; newer versions of onnx would write a later one."""


def to_graph(
    model: nn.Module, frozen: Mapping[str, FrozenWeight], size: Size, opset: int
) -> ir.Model:
    """The packed graph of `model`, whose parameters `frozen` hold ±s or ±1. `model` is changed (`trace`).

    The general optimiser runs while the frozen weights are sealed: it knows our ops as little as it
    may touch our weights. The functions come last, so that nothing inlines them.
    """
    graph = trace(model, size, opset)
    SealWeights(frozen)(graph)
    _check_all_there(graph, frozen)
    with quiet():
        optimise(graph)
    PackWeights(frozen)(graph)  # outside the sequence, which would wrap an ExportError in another
    FuseInputs()(graph)
    ir.passes.Sequential(
        FoldNorm(),
        PartPools(),
        RemoveUnusedNodesPass(),
        RemoveUnusedOpsetsPass(),
        ShareIntegers(),
        Tidy(),
    )(graph)
    append_functions(graph)
    graph.ir_version = IR_VERSION
    return graph


def _check_all_there(graph: ir.Model, frozen: Mapping[str, FrozenWeight]) -> None:
    """A frozen weight that the graph knows by another name would be written as float, and nobody told."""
    sealed = {value.name for value in graph.graph.inputs}
    for name in frozen:
        if name not in sealed:
            raise ExportError(
                f'the exported graph does not have the binary weight "{name}"',
                "this is a defect of binarize: please report the model's name",
            )
