"""What a binary op hands to the next becomes words, of one bit a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import onnx_ir as ir

from binarize.export.functions import ALL_OPS, DOMAIN, VERSION, Op
from binarize.export.passes.graph import add_constant, constant
from binarize.packing import WORD


class PackEdges(ir.passes.InPlacePass):
    """op(x, …) -> y -> StepOp(y, …, threshold)  becomes  opPack(x, …, threshold) -> w -> PackedStepOp(w, …)
    with w in words, and so on for Sign, whose jump is where y >= -shift.

    1. Both ops have binary inputs and the same product.
    2. Where y has other readers too, or is an output of the graph, it stays, as a second output.
    3. Of readers with different jumps the first one, and those that are like it, take words.
    4. Channels of a group fill whole words, on both sides.
    5. Nodes keep their names: those of their layers.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        names = _names(model.graph)
        changed = [_pack(node, names) for node in model.graph if _op(node) is not None]
        for name, value in tuple(model.graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                model.graph.initializers.pop(name)
        return ir.passes.PassResult(model, any(changed))


def _names(graph: ir.Graph) -> Iterator[str]:
    """Short ones that no value has."""
    taken = {value.name for node in graph for value in (*node.inputs, *node.outputs) if value}
    return (name for number in count() if (name := f"w{number}") not in taken)


def _op(node: ir.Node) -> Op | None:
    """The op of a node with a binary input."""
    op = ALL_OPS.get(node.op_type) if node.domain == DOMAIN else None
    return op if op is not None and op.binary else None


def _pack(node: ir.Node, names: Iterator[str]) -> bool:
    op, y = _op(node), node.outputs[0]
    readers = [use.node for use in y.uses() if use.idx == 0 and _takes_words(use.node, op.product)]
    if not readers or not _fills(node, outputs=True):
        return False
    jump = _jump(readers[0])
    readers = [reader for reader in readers if np.array_equal(_jump(reader), jump)]
    new = ir.node(
        replace(op, packs=True).name,
        [*node.inputs, _next(node, readers[0], jump)],
        {name: one.value for name, one in node.attributes.items()},
        domain=DOMAIN,
        version=VERSION,
        name=node.name,
        num_outputs=2,
    )
    words, values = new.outputs
    words.name, words.type = next(names), ir.TensorType(ir.DataType.UINT32)
    values.name, values.shape, values.type = y.name, y.shape, y.type
    node.graph.insert_before(node, new)
    for reader in readers:
        _read_words(reader, words)
    y.replace_all_uses_with(values, replace_graph_outputs=True)
    node.graph.remove(node, safe=True)
    if not values.uses() and not values.is_graph_output():
        new.resize_outputs(1)
    return True


def _takes_words(node: ir.Node, product: str) -> bool:
    op = _op(node)
    if op is None or op.packed or op.product != product or _jump(node) is None:
        return False
    return _fills(node, outputs=False)


def _fills(node: ir.Node, outputs: bool) -> bool:
    shape, group = node.attributes.get_ints("shape"), node.attributes.get_int("group", 1)
    channels = shape[0] // group if outputs else shape[1]
    return group == 1 or channels % WORD == 0


def _jump(node: ir.Node) -> np.ndarray | None:
    """Where the larger value of this node's input begins: one number, or one a channel."""
    split = constant(node.inputs[4])
    return -split if split is not None and _op(node).binary == "Sign" else split


def _next(node: ir.Node, reader: ir.Node, jump: np.ndarray) -> ir.Value:
    if _op(reader).binary == "Step":
        return reader.inputs[4]
    return add_constant(node.graph, f"{reader.name}.next", jump)


def _read_words(node: ir.Node, words: ir.Value) -> None:
    op = _op(node)
    inputs = [words, *node.inputs[1:4], *node.inputs[5:]]
    new = ir.node(
        replace(op, packed=True).name,
        inputs,
        {name: one.value for name, one in node.attributes.items()},
        domain=DOMAIN,
        version=VERSION,
        name=node.name,
        num_outputs=len(node.outputs),
    )
    for old, output in zip(node.outputs, new.outputs, strict=True):
        output.name, output.shape, output.type = old.name, old.shape, old.type
        old.replace_all_uses_with(output, replace_graph_outputs=True)
    node.graph.insert_before(node, new)
    node.graph.remove(node, safe=True)
