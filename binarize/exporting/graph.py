"""A frozen module to a graph of binarize ops, which a form then writes: export, optimise, pack, strip
metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, RemoveUnusedOpsetsPass
from torch import nn

from binarize.errors import ExportError
from binarize.exporting.classifier import CompressedTensor
from binarize.exporting.optimise import optimise
from binarize.exporting.passes import (
    CompressTables,
    DeduplicateInitializers,
    FoldNorm,
    FoldStatistics,
    FuseInputs,
    FuseOutputs,
    MarkAsInput,
    PackWeights,
    SeparatePoolPadding,
    StoreCompressed,
    StripMetadata,
)
from binarize.exporting.to_onnx import Size, quiet, to_onnx_graph
from binarize.layers import FrozenWeight

IR_VERSION = 10
"""What onnxruntime 1.18 reads; newer versions of onnx would write a later one."""


def to_graph(
    model: nn.Module,
    frozen: Mapping[str, FrozenWeight],
    size: Size,
    opset: int,
    stored: Mapping[str, CompressedTensor] = {},
) -> ir.Model:
    """The graph of `model`, whose parameters `frozen` hold ±s or ±1. `model` is changed (`to_onnx_graph`).

    The general optimiser runs while the frozen weights are graph inputs, and `stored` (the classifier, where
    it is compressed): it does not know binarize ops and must not touch binary weights.
    """
    shared = tables(model)
    graph = to_onnx_graph(model, size, opset)
    marked = [*frozen, *stored]
    MarkAsInput(marked)(graph)
    _check_all_there(graph, marked)
    with quiet():
        optimise(graph)
    PackWeights(frozen)(graph)  # outside the sequence, which would wrap an ExportError in another
    FuseInputs()(graph)
    StoreCompressed(stored)(graph)
    ir.passes.Sequential(
        FoldNorm(),
        FoldStatistics(),
        FuseOutputs(),
        SeparatePoolPadding(),
        RemoveUnusedNodesPass(),
        RemoveUnusedOpsetsPass(),
        CompressTables(),
        DeduplicateInitializers(shared),
        StripMetadata(),
    )(graph)
    graph.ir_version = IR_VERSION
    return graph


def tables(model: nn.Module) -> list[str]:
    """The buffers of a model that it computes when it is made: all but the statistics of norms."""
    names = (name for name, _ in model.named_buffers())
    return [name for name in names if not name.rpartition(".")[2].startswith("running_")]


def _check_all_there(graph: ir.Model, frozen: Iterable[str]) -> None:
    """A weight that the graph knows by another name would be written as float, and nobody told."""
    marked = {value.name for value in graph.graph.inputs}
    for name in frozen:
        if name not in marked:
            raise ExportError(
                f'the exported graph does not have the weight "{name}"',
                "this is a defect of binarize: please report the model's name",
            )
