"""Index tables and masks are stored with the bits that their values need."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from binarize.exporting.passes.graph import add_constant, name_of
from binarize.packing import pack_bits

INTEGERS = (np.uint8, np.int8, np.uint16, np.int16, np.int32)
"""From small to large, the unsigned one of a width first."""
TABLE, MASK = 64, 1024
"""Elements from which on the nodes that restore a tensor take less than what is saved."""
WINDOWS = 3
"""Axes of a mask from which on the slices along its first one are so large that repeating them pays."""
PLACES = 2 ** np.arange(8, dtype=np.uint8)


class CompressTables(ir.passes.InPlacePass):
    """Store large constants of few values smaller, behind nodes that make of them what they were.

    1. int64 or int32: T = Cast(t), t of the smallest integer type that has all values.
    2. bool, or float32 of exactly two values: T = Where(signs, higher, lower), a bit for each element in
       the order of `packing`; signs = Reshape(Cast<bool>(BitwiseAnd(bits[n, 1], [1, 2, …, 128])), shape), cut
       first where 8·n is more than there are. Where slices along the first of three axes or more are equal,
       as masks of windows are, they are stored once, and a Gather repeats them.
    3. A runtime folds these nodes when it makes the session: what it computes with is what it was.
    4. Weights have as many values as elements, and stay.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        restored: dict[object, ir.Value] = {}
        changed = [
            _compress(model.graph, value, tensor.numpy(), restored)
            for value in tuple(model.graph.initializers.values())
            if (tensor := value.const_value) is not None
            and tensor.size >= TABLE
            and not value.is_graph_output()
        ]
        return ir.passes.PassResult(model, any(changed))


def compress(elements: np.ndarray) -> np.ndarray | None:
    """What is stored in their place: small integers of the same shape, or bits uint8[n, 1]; None: they stay
    as they are."""
    if elements.dtype in (np.int64, np.int32) and elements.size >= TABLE:
        kind = _smallest_type(elements)
        return elements.astype(kind) if kind != elements.dtype else None
    if elements.dtype in (np.float32, np.bool_) and elements.size >= MASK and _is_mask(elements):
        return pack_bits(_distinct(elements)[0]).reshape(-1, 1)
    return None


def _smallest_type(elements: np.ndarray) -> np.dtype[Any]:
    """The first of INTEGERS that has all of them, or their own type."""
    low, high = elements.min(), elements.max()
    for kind in INTEGERS:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.dtype(kind)
    return elements.dtype


def _is_mask(elements: np.ndarray) -> bool:
    """Whether there are exactly two values."""
    low, high = elements.min(), elements.max()
    return bool(low != high and ((elements == low) | (elements == high)).all())


def _distinct(elements: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(where the higher value is in the slices that differ, which of them each slice is)."""
    above = elements == elements.max()
    distinct, which = np.unique(above, return_inverse=True, axis=0)
    if above.ndim < WINDOWS or len(distinct) == len(above):
        return above, np.arange(len(above))
    return distinct, which.reshape(-1)


def _compress(
    graph: ir.Graph, value: ir.Value, elements: np.ndarray, restored: dict[object, ir.Value]
) -> bool:
    """Whether that was done; equal constants are restored once."""
    stored = compress(elements)
    if stored is None:
        return False
    name = name_of(value)
    graph.initializers.pop(name)
    key = (elements.dtype, elements.shape, elements.tobytes())
    if key not in restored:
        nodes = _Nodes(graph, name)
        write = _cast if elements.dtype in (np.int64, np.int32) else _unpack
        restored[key] = write(nodes, nodes.constant(name, stored), elements)
    value.replace_all_uses_with(restored[key])
    return True


def _cast(nodes: _Nodes, stored: ir.Value, elements: np.ndarray) -> ir.Value:
    return nodes.add("Cast", stored, to=int(ir.DataType.from_numpy(elements.dtype)))


def _unpack(nodes: _Nodes, bits: ir.Value, elements: np.ndarray) -> ir.Value:
    distinct, which = _distinct(elements)
    octets = nodes.add("BitwiseAnd", bits, nodes.constant("places", PLACES))
    signs = nodes.add("Cast", octets, to=int(ir.DataType.BOOL))
    if distinct.size % 8:
        flat = nodes.add("Reshape", signs, nodes.integers(-1))
        signs = nodes.add("Slice", flat, nodes.integers(0), nodes.integers(distinct.size))
    signs = nodes.add("Reshape", signs, nodes.integers(*distinct.shape))
    if len(distinct) < len(elements):
        signs = nodes.add("Gather", signs, nodes.integers(*which))
    if elements.dtype == np.bool_:
        return signs
    ends = (elements.max(), elements.min())
    return nodes.add("Where", signs, *(nodes.constant("end", np.asarray(end)) for end in ends))


class _Nodes:
    """Adds nodes at the beginning of a graph, in order, and constants, that make one called `name`."""

    def __init__(self, graph: ir.Graph, name: str) -> None:
        self.graph, self.name = graph, name
        self.before = graph[0]
        self.count = 0

    def add(self, op: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        node = ir.node(op, inputs, attributes, num_outputs=1)
        self.count += 1
        node.outputs[0].name = f"{self.name}_{self.count}"
        self.graph.insert_before(self.before, node)
        return node.outputs[0]

    def constant(self, name: str, elements: np.ndarray) -> ir.Value:
        return add_constant(self.graph, name, elements)

    def integers(self, *numbers: int) -> ir.Value:
        return self.constant("sizes", np.asarray(numbers))
