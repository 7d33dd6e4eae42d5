"""Which layers make a gate: squeeze-excite and its relatives, read off the graph.

A gate is a branch that ends in a sigmoid-like function and multiplies features:

1. Take each multiplication, and each operand that was made by a sigmoid, hard sigmoid, tanh or softmax
   (functions that only move values about are looked through).
2. Walk up from there through layers, activations and norms to a pooling over the image.
3. If the walk ends at one, every layer on it belongs to the gate (squeeze-excite: fc1, fc2). If it ends
   elsewhere, only the layer nearest to the sigmoid does (a spatial gate).

Attention is no gate by this rule: its softmax feeds a matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx

from binarize.rewrite.inventory import ACTIVATING, KINDS, PASSING, POOLING, Layer, first_input
from binarize.rewrite.nodes import function_name

MULTIPLYING = {"mul", "mul_", "__mul__", "__rmul__", "__imul__"}
SQUASHING = {"sigmoid", "sigmoid_", "hardsigmoid", "hardsigmoid_", "tanh", "softmax", "relu6"}
SCALING = {"div", "div_", "__truediv__", "add", "add_", "__add__", *MULTIPLYING}


def gate_layers(graph: fx.Graph, layers: list[Layer]) -> set[str]:
    """Names of the layers that make a gate."""
    owner = {node: layer.name for layer in layers for node in layer.nodes}
    gates: set[str] = set()
    for node in graph.nodes:
        if function_name(node) in MULTIPLYING:
            for operand in _tensor_operands(node):
                gates.update(owner[n] for n in _branch(operand) if n in owner)
    return gates


def _tensor_operands(node: fx.Node) -> Iterator[fx.Node]:
    operands = [arg for arg in node.args[:2] if isinstance(arg, fx.Node)]
    if len(operands) == 2:
        yield from operands


def _branch(operand: fx.Node) -> list[fx.Node]:
    """The layer nodes of the gate that made `operand`; empty where no sigmoid did."""
    squash = _up_to_squash(operand)
    if squash is None:
        return []
    found, node = [], first_input(squash)
    while node is not None and not _pools(node):
        name = function_name(node)
        if name in KINDS:
            found.append(node)
        elif name not in PASSING | ACTIVATING | SCALING:
            return found[:1]
        node = first_input(node)
    return found if node is not None else found[:1]


def _up_to_squash(node: fx.Node | None) -> fx.Node | None:
    """The sigmoid above `node`, through moves and scalings by constants (relu6(x + 3)/6)."""
    while node is not None:
        name = function_name(node)
        if name in SQUASHING:
            return node
        scaled_by_constant = name in SCALING and len(node.all_input_nodes) == 1
        if name not in PASSING and not scaled_by_constant:
            return None
        node = first_input(node)
    return None


def _pools(node: fx.Node) -> bool:
    """Whether `node` reduces the whole image to one position (or to one value per row or column)."""
    if function_name(node) not in POOLING:
        return False
    before = first_input(node)
    return before is not None and len(before.meta.get("shape", ())) >= 3
