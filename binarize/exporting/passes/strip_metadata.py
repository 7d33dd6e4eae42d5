"""Metadata, doc strings and names that no reader of the file needs are dropped."""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir

from binarize.exporting.functions import DOMAIN
from binarize.exporting.passes.graph import name_of


class StripMetadata(ir.passes.InPlacePass):
    """Drop what only the exporter needed.

    1. Metadata and doc strings of the graph, of nodes and of values go.
    2. A node keeps its name if it is a binarize op, whose names are those of their layers. A node that
       reads an initializer `layer.weight` is called `layer`. All other names go. Of a layer that is used
       several times, the later nodes are called `layer@2`, `layer@3`, …: a name is given once.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        changed = _forget(graph)
        count: Counter[str] = Counter()
        for value in (*graph.inputs, *graph.initializers.values()):
            changed |= _forget(value)
        for node in graph.all_nodes():
            changed |= _forget(node) | _rename(node, count)
            for value in node.outputs:
                changed |= _forget(value)
        return ir.passes.PassResult(model, changed)


def _forget(thing: ir.Graph | ir.Node | ir.Value) -> bool:
    before = bool(thing.metadata_props or thing.doc_string)
    thing.metadata_props.clear()
    thing.doc_string = None
    return before


def _rename(node: ir.Node, count: Counter[str]) -> bool:
    """Name it after its layer, and apart from the earlier nodes of that layer."""
    name = _layer(node)
    if name is not None:
        count[name] += 1
        if count[name] > 1:
            name = f"{name}@{count[name]}"
    changed = node.name != name
    node.name = name
    return changed


def _layer(node: ir.Node) -> str | None:
    if node.domain == DOMAIN:
        return node.name.partition("@")[0] if node.name else None
    weights = [
        name_of(value) for value in node.inputs if value is not None and value.is_initializer()
    ]
    return next((w.removesuffix(".weight") for w in weights if w.endswith(".weight")), None)
