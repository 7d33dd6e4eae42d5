"""A frozen module to a graph of our ops, which a form then writes: trace, optimise, pack, tidy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, RemoveUnusedOpsetsPass
from torch import nn

from binarize.errors import ExportError
from binarize.export.classifier import Small
from binarize.export.optimise import optimise
from binarize.export.passes import (
    FoldNorm,
    FuseInputs,
    FuseOutputs,
    PackWeights,
    PartPools,
    SealWeights,
    ShareIntegers,
    StoreSmall,
    Tidy,
)
from binarize.export.trace import Size, quiet, trace
from binarize.layers import FrozenWeight

IR_VERSION = 10
"""What onnxruntime 1.18 reads; newer versions of onnx would write a later one."""


def to_graph(
    model: nn.Module,
    frozen: Mapping[str, FrozenWeight],
    size: Size,
    opset: int,
    stored: Mapping[str, Small] = {},
) -> ir.Model:
    """The graph of `model`, whose parameters `frozen` hold ±s or ±1. `model` is changed (`trace`).

    The general optimiser runs while the frozen weights are sealed, and `stored` (the classifier, where it
    is stored smaller): it knows our ops as little as it may touch our weights.
    """
    graph = trace(model, size, opset)
    sealed = [*frozen, *stored]
    SealWeights(sealed)(graph)
    _check_all_there(graph, sealed)
    with quiet():
        optimise(graph)
    PackWeights(frozen)(graph)  # outside the sequence, which would wrap an ExportError in another
    FuseInputs()(graph)
    StoreSmall(stored)(graph)
    ir.passes.Sequential(
        FoldNorm(),
        FuseOutputs(),
        PartPools(),
        RemoveUnusedNodesPass(),
        RemoveUnusedOpsetsPass(),
        ShareIntegers(),
        Tidy(),
    )(graph)
    graph.ir_version = IR_VERSION
    return graph


def _check_all_there(graph: ir.Model, frozen: Iterable[str]) -> None:
    """A weight that the graph knows by another name would be written as float, and nobody told."""
    sealed = {value.name for value in graph.graph.inputs}
    for name in frozen:
        if name not in sealed:
            raise ExportError(
                f'the exported graph does not have the weight "{name}"',
                "this is a defect of binarize: please report the model's name",
            )
