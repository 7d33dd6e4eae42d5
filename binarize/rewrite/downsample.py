"""Which convolutions are a residual block's shortcut, read off the graph.

Where a block changes width or resolution, its shortcut cannot be the identity; a convolution stands there
in its place. It is all that carries the block's input past binary activations, so with those it stays
float, as in XNOR-Net's and Bi-Real Net's ResNets.

1. Take each addition, and for each of its two operands walk up through norms, pooling and functions that
   only move values, to a convolution.
2. It has a kernel of one position, or a stride above 1.
3. What it takes (looked at through pooling and moves) also reaches the addition's other operand past the
   convolution, through at least one other layer: that is the block, and this is its shortcut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import fx

from binarize.rewrite.inventory import CONVOLUTIONS, FEEDERS, PASSING, POOLING, Layer, first_input
from binarize.rewrite.nodes import argument, function_name

ADDING = {"add", "add_", "__add__", "__iadd__", "__radd__"}
POOLED = PASSING | POOLING
NORMED = POOLED | set(FEEDERS["norm"].split())


def downsample_layers(graph: fx.Graph, layers: list[Layer]) -> set[str]:
    """Names of the convolutions that are shortcuts."""
    owner = {node: layer for layer in layers for node in layer.nodes}
    found = set()
    for node in graph.nodes:
        operands = [arg for arg in node.args[:2] if isinstance(arg, fx.Node)]
        if function_name(node) in ADDING and len(operands) == 2:
            for side, other in (operands, operands[::-1]):
                conv = _up_through(side, NORMED)
                if conv in owner and _shortens(conv, owner[conv]):
                    block = _between(_up_through(first_input(conv), POOLED), other, conv)
                    if any(inner in owner for inner in block):
                        found.add(owner[conv].name)
    return found


def _up_through(node: fx.Node | None, functions: set[str]) -> fx.Node | None:
    """The nearest node above, `node` itself included, that is none of `functions`."""
    while node is not None and function_name(node) in functions:
        node = first_input(node)
    return node


def _shortens(node: fx.Node, layer: Layer) -> bool:
    """Whether it is a convolution of one position, or one that skips positions."""
    stride = argument(node, 3, "stride")
    strides = stride if isinstance(stride, (tuple, list)) else (stride,)
    skips = any(isinstance(n, int) and n > 1 for n in strides)
    pointwise = math.prod(layer.shape[2:]) == 1
    return layer.kind in CONVOLUTIONS and (pointwise or skips)


def _between(start: fx.Node | None, end: fx.Node, past: fx.Node) -> set[fx.Node]:
    """The nodes on the ways from `start`, which is left out, to `end`, which is not, past that one node."""
    if start is None:
        return set()
    reached = {start}
    for node in _following(start, end):
        if node is not past and not reached.isdisjoint(node.all_input_nodes):
            reached.add(node)
    on_the_way, open_nodes = set(), [end]
    while open_nodes:
        node = open_nodes.pop()
        if node in reached and node is not start and node not in on_the_way:
            on_the_way.add(node)
            open_nodes += node.all_input_nodes
    return on_the_way


def _following(start: fx.Node, end: fx.Node) -> Iterator[fx.Node]:
    """The nodes behind `start` in the order of execution, up to `end`."""
    node = start
    while (
        node is not end and node.next.op != "root"
    ):  # a ring: its root stands behind the last node
        node = node.next
        yield node
