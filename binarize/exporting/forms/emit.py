"""Standard ops in the place of a binarize op, as few as will do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from binarize.exporting.functions import DOMAIN, FUNCTION_OPS, GELU_OPSET, ROOT, SLOPE_6, Op
from binarize.exporting.passes.graph import (
    add_constant,
    drop_unread,
    elements_of,
    input_of,
    name_of,
    replace,
)

MASKS = 2 ** np.arange(8, dtype=np.uint8)
ABOVE = "/above"
"""How the node is called that compares a layer's input with its decision boundary: LAYER/above."""
BOOL, INT8, FLOAT32 = (int(one) for one in (ir.DataType.BOOL, ir.DataType.INT8, ir.DataType.FLOAT))


class Emitter:
    """Adds nodes and constants to a graph. What several layers need is there once.

    `before` is the binarize node that is being replaced: new nodes stand in front of it.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.before: ir.Node
        self._taken = {value.name for node in graph for value in node.outputs}
        self._count = 0
        self._constants: dict[str, ir.Value] = {}
        self._signs: dict[tuple[str, tuple[int, ...], bool], ir.Value] = {}

    def __call__(
        self, op: str, *inputs: ir.Value | None, name: str = "", **attributes: Any
    ) -> ir.Value:
        """The output of a new node."""
        node = ir.node(op, inputs, attributes, num_outputs=1)
        node.outputs[0].name = self._fresh()
        self.graph.insert_before(self.before, node)
        node.name = name or None  # the graph gives it a name otherwise
        return node.outputs[0]

    def finish(self, op: str, *inputs: ir.Value | None, **attributes: Any) -> None:
        """What gives what the op gave: this node, and behind it those that the op's name ends with."""
        residual = self.before.inputs[-1]
        for each in FUNCTION_OPS[self.before.op_type].epilogue:
            value = self(op, *inputs, **attributes)
            op, inputs, attributes = each, (value,), {}
            if each == "Add":
                inputs = (value, residual)
            elif each == "Gelu" and self.graph.opset_imports[""] < GELU_OPSET:
                op, inputs = "Mul", (value, self._share(value))
            elif each == "Silu":
                op, inputs = "Mul", (value, self("Sigmoid", value))
            elif each == "HardSigmoid":
                attributes = {"alpha": SLOPE_6, "beta": 0.5}
        node = ir.node(op, inputs, attributes, num_outputs=1)
        replace(self.before, node)
        node.name = None

    def _share(self, value: ir.Value) -> ir.Value:
        """(erf(y/√2) + 1)/2, by which Gelu multiplies y."""
        erf = self("Erf", self("Div", value, self.scalar(ROOT)))
        return self("Mul", self("Add", erf, self.scalar(1.0)), self.scalar(0.5))

    def constant(self, name: str, elements: Any, dtype: Any = np.float32) -> ir.Value:
        """A constant that layers share, by name."""
        if name not in self._constants:
            array = np.asarray(elements, dtype)
            self._constants[name] = add_constant(self.graph, name, array)
        return self._constants[name]

    def ints(self, elements: Sequence[int]) -> ir.Value:
        """int64[n]: a shape or the like."""
        return self.constant("ints." + ".".join(map(str, elements)), elements, np.int64)

    def scalar(self, value: float, dtype: Any = np.float32) -> ir.Value:
        return self.constant(f"{np.dtype(dtype).name}.{value:g}", value, dtype)

    def shaped(self, value: ir.Value, shape: Sequence[int]) -> ir.Value:
        """A stored constant of a binarize op in another shape; a copy where somebody else reads it as it
        is."""
        elements = elements_of(value)
        if elements.shape == tuple(shape):
            return value
        return self.restored(value, elements.reshape(shape))

    def restored(self, value: ir.Value, elements: np.ndarray) -> ir.Value:
        """Other elements for a stored constant; a copy where somebody else reads it too."""
        name = name_of(value)
        if len(value.uses()) > 1 or not value.is_initializer():
            return add_constant(self.graph, name, elements)
        tensor = ir.tensor(elements, name=name)
        value.const_value, value.shape = tensor, ir.Shape(elements.shape)
        return value

    def signs(self, columns: bool = False) -> ir.Value:
        """bool of the weight's shape, or turned round, from the bits of the node that is replaced; those of
        several bases one behind the other."""
        bits, shape = input_of(self.before, 1), list(self.before.attributes.get_ints("shape"))
        if FUNCTION_OPS[self.before.op_type].several:
            shape = [len(elements_of(input_of(self.before, 2))), *shape]
        key = (name_of(bits), tuple(shape), columns)
        if key not in self._signs:
            self._signs[key] = self._turned(shape) if columns else self._unpacked(bits, shape)
        return self._signs[key]

    def _turned(self, shape: list[int]) -> ir.Value:
        return self("Transpose", self.signs(), perm=[1, 0] if len(shape) == 2 else [0, 2, 1])

    def _unpacked(self, bits: ir.Value, shape: list[int]) -> ir.Value:
        """Broad columns of eight from a byte each, then the weight's shape."""
        elements = elements_of(bits)
        if elements.ndim == 1:  # other readers of these bits find the signs, not the bits
            column = elements.reshape(-1, 1)
            bits.const_value = ir.tensor(column, name=bits.name)
            bits.shape = ir.Shape(column.shape)
        octets = self("BitwiseAnd", bits, self.constant("masks", MASKS, np.uint8))
        signs = self("Cast", octets, to=BOOL)
        count = math.prod(shape)
        if count % 8:
            flat = self("Reshape", signs, self.ints([-1]))
            signs = self("Slice", flat, self.ints([0]), self.ints([count]))
        return self("Reshape", signs, self.ints(shape))

    def _fresh(self) -> str:
        while True:
            self._count += 1
            name = f"u{self._count}"
            if name not in self._taken:
                return name


def rewrite(model: ir.Model, write: Callable[[Emitter, ir.Node, Op], None]) -> None:
    """Have `write` put standard ops in the place of every binarize op, and forget the domain."""
    graph = model.graph
    emit = Emitter(graph)
    for node in tuple(graph):
        if node.domain == DOMAIN:
            emit.before = node
            write(emit, node, FUNCTION_OPS[node.op_type])
    drop_unread(graph)
    model.opset_imports.pop(DOMAIN, None)


def along(node: ir.Node, op: Op, value: ir.Value, emit: Emitter) -> ir.Value:
    """A constant of one element a channel, in the shape in which it meets an activation."""
    axes = len(node.attributes.get_ints("shape")) - 2
    size = elements_of(value).size
    return emit.shaped(value, [size, *[1] * axes] if op.product == "Conv" else [size])


def attributes(node: ir.Node) -> dict[str, Any]:
    """Those of the standard convolution."""
    return {name: one.value for name, one in node.attributes.items() if name != "shape"}


def above(emit: Emitter, node: ir.Node, op: Op) -> ir.Value:
    """bool: where the binary input is the larger value."""
    boundary, name = input_of(emit.before, 4), f"{node.name or ''}{ABOVE}"
    if op.binary == "Sign":
        moved = emit("Add", node.inputs[0], along(node, op, boundary, emit))
        return emit("GreaterOrEqual", moved, emit.scalar(0.0), name=name)
    return emit("GreaterOrEqual", node.inputs[0], boundary, name=name)
