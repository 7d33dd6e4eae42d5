"""Activations between binary ops are bit-packed: 32 of them in a uint32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import onnx_ir as ir

from binarize.exporting.functions import ALL_OPS, DOMAIN, VERSION, Op
from binarize.exporting.passes.graph import (
    add_constant,
    constant,
    drop_unread,
    graph_of,
    input_of,
)
from binarize.packing import WORD


class PackActivations(ir.passes.InPlacePass):
    """op(x, …) -> y -> StepOp(y, …, threshold)  becomes  opPack(x, …, threshold) -> w -> PackedStepOp(w, …)
    with w bit-packed, and so on for Sign, whose decision boundary is y = -shift.

    1. Both ops have binary inputs, weights of one base and the same product.
    2. Where y has other readers too, or is an output of the graph, it stays, as a second output.
    3. Of readers with different decision boundaries the first one, and those that are like it, take packed
       bits.
    4. The channels of a group fill whole uint32 words, on both sides.
    5. Nodes keep their names: those of their layers.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        names = _names(model.graph)
        changed = [_pack(node, op, names) for node in model.graph if (op := _op(node)) is not None]
        drop_unread(model.graph)
        return ir.passes.PassResult(model, any(changed))


def _names(graph: ir.Graph) -> Iterator[str]:
    """Short ones that no value has."""
    taken = {value.name for node in graph for value in (*node.inputs, *node.outputs) if value}
    return (name for number in count() if (name := f"w{number}") not in taken)


def _op(node: ir.Node) -> Op | None:
    """The op of a node with a binary input and a weight of one base."""
    op = ALL_OPS.get(node.op_type) if node.domain == DOMAIN else None
    return op if op is not None and op.binary and not op.several else None


def _pack(node: ir.Node, op: Op, names: Iterator[str]) -> bool:
    y = node.outputs[0]
    found = [
        (use.node, own)
        for use in y.uses()
        if use.idx == 0 and (own := _boundary_of_bits(use.node, op.product)) is not None
    ]
    if not found or not _fills(node, outputs=True):
        return False
    boundary = found[0][1]
    readers = [reader for reader, own in found if np.array_equal(own, boundary)]
    new = ir.node(
        replace(op, packs=True).name,
        [*node.inputs, _next(node, readers[0], boundary)],
        {name: one.value for name, one in node.attributes.items()},
        domain=DOMAIN,
        version=VERSION,
        name=node.name,
        num_outputs=2,
    )
    bits, values = new.outputs
    bits.name, bits.type = next(names), ir.TensorType(ir.DataType.UINT32)
    values.name, values.shape, values.type = y.name, y.shape, y.type
    graph_of(node).insert_before(node, new)
    for reader in readers:
        _read_bits(reader, bits)
    y.replace_all_uses_with(values, replace_graph_outputs=True)
    graph_of(node).remove(node, safe=True)
    if not values.uses() and not values.is_graph_output():
        new.resize_outputs(1)
    return True


def _boundary_of_bits(node: ir.Node, product: str) -> np.ndarray | None:
    """The decision boundary of a node that can take its input bit-packed; None for any other one."""
    op = _op(node)
    if op is None or op.packed or op.product != product or not _fills(node, outputs=False):
        return None
    return _boundary(node, op)


def _fills(node: ir.Node, outputs: bool) -> bool:
    shape, group = node.attributes.get_ints("shape"), node.attributes.get_int("group", 1)
    channels = shape[0] // group if outputs else shape[1]
    return group == 1 or channels % WORD == 0


def _boundary(node: ir.Node, op: Op) -> np.ndarray | None:
    """Where the larger value of this node's input begins: one number, or one a channel."""
    boundary = constant(node.inputs[4])
    return -boundary if boundary is not None and op.binary == "Sign" else boundary


def _next(node: ir.Node, reader: ir.Node, boundary: np.ndarray) -> ir.Value:
    op = _op(reader)
    if op is not None and op.binary == "Step":
        return input_of(reader, 4)
    return add_constant(graph_of(node), f"{reader.name}.next", boundary)


def _read_bits(node: ir.Node, bits: ir.Value) -> None:
    op = _op(node)
    assert op is not None
    inputs = [bits, *node.inputs[1:4], *node.inputs[5:]]
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
    graph_of(node).insert_before(node, new)
    graph_of(node).remove(node, safe=True)
