"""Small things that several passes do to a graph."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir


def constant(value: ir.Value | None) -> np.ndarray | None:
    """The elements of `value` where the file itself fixes them, else None."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def add_constant(graph: ir.Graph, name: str, elements: np.ndarray) -> ir.Value:
    """A new initializer, called `name`, or `name_2`, `name_3`, … where that is taken."""
    unique = unique_name(graph, name)
    tensor = ir.tensor(elements, name=unique)
    value = ir.val(unique, const_value=tensor)
    graph.register_initializer(value)
    return value


def replace_constant(graph: ir.Graph, node: ir.Node, index: int, elements: np.ndarray) -> None:
    """Give `node` other elements, as float32, for a constant; other readers keep what it was."""
    old = input_of(node, index)
    name = name_of(old)
    if len(old.uses()) == 1:
        graph.initializers.pop(name)
    node.replace_input_with(index, add_constant(graph, name, elements.astype(np.float32)))


def drop_unread(graph: ir.Graph) -> None:
    """Drop the initializers that nothing reads any more."""
    for name, value in tuple(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            graph.initializers.pop(name)


def unique_name(graph: ir.Graph, name: str) -> str:
    """`name`, or `name_2`, `name_3`, … where an initializer is called that."""
    unique, number = name, 1
    while unique in graph.initializers:
        number += 1
        unique = f"{name}_{number}"
    return unique


def only_user(value: ir.Value) -> ir.Node | None:
    """The node that alone reads `value`, or None where others or the caller of the graph do too."""
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    return next(iter(uses)).node


def input_of(node: ir.Node, index: int) -> ir.Value:
    """An input that the op of `node` cannot do without."""
    value = node.inputs[index]
    assert value is not None
    return value


def elements_of(value: ir.Value) -> np.ndarray:
    """The elements of a value that is known to be constant."""
    elements = constant(value)
    assert elements is not None
    return elements


def name_of(value: ir.Value) -> str:
    """The name of a value in an exported graph, where all have one."""
    assert value.name is not None
    return value.name


def graph_of(node: ir.Node) -> ir.Graph:
    """The graph that `node` is in."""
    assert isinstance(node.graph, ir.Graph)
    return node.graph


def replace(node: ir.Node, new: ir.Node) -> None:
    """Put `new` where `node` was; its first output takes over the name, type and readers."""
    old, output = node.outputs[0], new.outputs[0]
    output.name, output.shape, output.type = old.name, old.shape, old.type
    graph = graph_of(node)
    graph.insert_before(node, new)
    old.replace_all_uses_with(output, replace_graph_outputs=True)
    graph.remove(node, safe=True)
