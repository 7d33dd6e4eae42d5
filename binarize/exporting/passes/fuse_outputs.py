"""An addition and an activation behind a binary op become part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import onnx_ir as ir

from binarize.exporting.functions import DOMAIN, EPILOGUES, OPS, ROOT, SLOPE_6, VERSION, Op
from binarize.exporting.passes.graph import constant, graph_of, only_user

Order = dict[ir.Node, int]
"""Where each node stands in the graph."""


class FuseOutputs(ir.passes.InPlacePass):
    """op(x, bits, …) -> Add(·, residual) -> Relu  becomes  opAddRelu(x, bits, …, residual), and so on
    for other activations, and where only one of the two is there.

    1. What is fused alone reads the value before it, which is no output of the graph.
    2. The residual is computed, and has the shape of the op's output: the same numbers, and the same names of
       what is free. Where a dimension is not known, nothing is fused; nothing is ever broadcast.
    3. Of two ops whose outputs are added, the later one takes the other's output.
    4. Where the residual is made after the op, the op moves to where the Add was, unless that is past
       another use of its layer: uses of a layer are counted by their order (`disagreements`).
    5. Gelu is the exact one: the node, or what torch writes below opset 20, y·((erf(y/√2) + 1)·0.5). Silu is
       y·Sigmoid(y), HardSigmoid that of torch, with 1/6 and 1/2, and HardSwish the node; these three are
       fused where there is no addition.
    6. The op keeps its layer's name; the value behind what was fused keeps its own.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        order = {node: number for number, node in enumerate(model.graph)}
        fused = [_fuse(node, order) for node in tuple(model.graph) if _is_open(node)]
        return ir.passes.PassResult(model, any(fused))


def _is_open(node: ir.Node | None) -> TypeGuard[ir.Node]:
    """A binarize op that nothing was fused to yet."""
    if node is None or node.domain != DOMAIN or node.op_type not in OPS:
        return False
    return not OPS[node.op_type].epilogue


@dataclass
class _Epilogue:
    """What is fused to a node.

    Attributes:
        names: the part of the op's name.
        nodes: in their order.
        residual: one more input, where an Add is among them.
        place: the node before which the new one goes.
    """

    names: list[str]
    nodes: list[ir.Node]
    residual: list[ir.Value]
    place: ir.Node

    @property
    def value(self) -> ir.Value:
        return self.nodes[-1].outputs[0]


def _fuse(node: ir.Node, order: Order) -> bool:
    epilogue = _Epilogue([], [node], [], node)
    _take_add(epilogue, order)
    _take_activation(epilogue)
    if not epilogue.names:
        return False
    op = OPS[node.op_type]
    new = ir.node(
        Op(op.binary, op.product, tuple(epilogue.names)).name,
        [*node.inputs, *epilogue.residual],
        {name: one.value for name, one in node.attributes.items()},
        domain=DOMAIN,
        version=VERSION,
        name=node.name,
        num_outputs=1,
    )
    order[new] = order[epilogue.place]
    for one in epilogue.nodes:
        del order[one]
    old, output = epilogue.value, new.outputs[0]
    output.name, output.shape, output.type = old.name, old.shape, old.type
    graph_of(node).insert_before(epilogue.place, new)
    old.replace_all_uses_with(output, replace_graph_outputs=True)
    graph_of(node).remove(epilogue.nodes, safe=True)
    return True


def _take_add(epilogue: _Epilogue, order: Order) -> None:
    (node,) = epilogue.nodes
    add = only_user(node.outputs[0])
    if add is None or add.op_type != "Add" or add.domain:
        return
    residual = next(value for value in add.inputs if value is not node.outputs[0])
    assert residual is not None
    maker = residual.producer()
    made_at = -1 if maker is None else order.get(maker, -1)
    if constant(residual) is not None or not _same_shape(residual.shape, node.outputs[0].shape):
        return
    if made_at > order[node]:
        if _is_open(maker) and only_user(residual) is add:
            return  # it is fused to that one
        between = [one for one in order if order[node] < order[one] < order[add]]
        if any(one.domain == DOMAIN and one.name == node.name for one in between):
            return
        epilogue.place = add
    epilogue.names.append("Add")
    epilogue.nodes.append(add)
    epilogue.residual.append(residual)


def _same_shape(one: ir.Shape | None, other: ir.Shape | None) -> bool:
    if one is None or other is None or len(one) != len(other):
        return False
    return all(
        _known(a) is not None and _known(a) == _known(b) for a, b in zip(one, other, strict=True)
    )


def _known(dimension: int | ir.SymbolicDim) -> int | str | None:
    """A number, or the name of what is free; None where it has none."""
    return dimension.value if isinstance(dimension, ir.SymbolicDim) else dimension


def _take_activation(epilogue: _Epilogue) -> None:
    y = epilogue.value
    user = only_user(y)
    for name, nodes in {
        "Relu": _one(user, "Relu"),
        "Gelu": _gelu(user) or _gelu_by_erf(y),
        "HardSwish": _one(user, "HardSwish"),
        "Silu": _silu(y),
        "HardSigmoid": _hard_sigmoid(user),
    }.items():
        if nodes and (*epilogue.names, name) in EPILOGUES:
            epilogue.names.append(name)
            epilogue.nodes += nodes
            return


def _one(user: ir.Node | None, op: str) -> list[ir.Node]:
    """The node, where it is such an op."""
    return [user] if user is not None and user.op_type == op and not user.domain else []


def _gelu(user: ir.Node | None) -> list[ir.Node]:
    """The node, where it is the exact one."""
    found = _one(user, "Gelu")
    return [one for one in found if one.attributes.get_string("approximate", "none") == "none"]


def _gelu_by_erf(y: ir.Value) -> list[ir.Node]:
    """The nodes of y·((erf(y/√2) + 1)·0.5), as torch writes them; none where that is not what reads y."""
    readers = {node.op_type: node for node, _ in y.uses()}
    if y.is_graph_output() or len(y.uses()) != 2 or set(readers) != {"Div", "Mul"}:
        return []
    nodes = [readers["Div"]]
    for op, number in (("Erf", None), ("Add", 1.0), ("Mul", 0.5), ("Mul", None)):
        user = only_user(nodes[-1].outputs[0])
        if user is None or user.op_type != op or not (number is None or _takes(user, number)):
            return []
        nodes.append(user)
    divides = nodes[0].inputs[0] is y and _takes(nodes[0], ROOT)
    return nodes if divides and nodes[-1] is readers["Mul"] else []


def _silu(y: ir.Value) -> list[ir.Node]:
    """The nodes of y·sigmoid(y); none where that is not what reads y."""
    readers = {node.op_type: node for node, _ in y.uses()}
    if y.is_graph_output() or len(y.uses()) != 2 or set(readers) != {"Sigmoid", "Mul"}:
        return []
    gates = only_user(readers["Sigmoid"].outputs[0]) is readers["Mul"]
    return [readers["Sigmoid"], readers["Mul"]] if gates else []


def _hard_sigmoid(user: ir.Node | None) -> list[ir.Node]:
    """The node, where its constants are torch's."""
    return [
        one
        for one in _one(user, "HardSigmoid")
        if np.float32(one.attributes.get_float("alpha", 0.2)) == np.float32(SLOPE_6)
        and one.attributes.get_float("beta", 0.5) == 0.5
    ]


def _takes(node: ir.Node, number: float) -> bool:
    """Whether an input is that constant."""
    constants = [elements for value in node.inputs if (elements := constant(value)) is not None]
    return any(one.size == 1 and one.item() == np.float32(number) for one in constants)
