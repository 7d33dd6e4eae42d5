"""Where the values of a trace reach sums without a layer between."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from torch import fx

from binarize.rewrite.inventory import PASSING, POOLING, first_input
from binarize.rewrite.nodes import function_name

ADDING = {"add", "add_", "__add__", "__radd__", "__iadd__"}
WEIGHING = {"mul", "mul_", "__mul__", "__rmul__", "__imul__"}


@dataclass
class Flow:
    """A trace's sums, and the shortcuts planned so far, which are sums too.

    Attributes:
        replaced: ReLUs that are taken away or replaced: what goes in comes out.
        shortcuts: value -> the layer outputs that it is going to be added to.
    """

    replaced: set[fx.Node]
    shortcuts: dict[fx.Node, list[fx.Node]] = field(default_factory=lambda: defaultdict(list))

    def add(self, x: fx.Node, y: fx.Node) -> None:
        """From now on `x` is added to `y`."""
        self.shortcuts[x].append(y)

    def meet(self, x: fx.Node, y: fx.Node) -> bool:
        """Whether `x`, or what it was before it was moved or went through a replaced ReLU, reaches a sum
        that `y` reaches."""
        return bool(self._sums(self._origin(x)) & self._sums(y))

    def _origin(self, node: fx.Node) -> fx.Node:
        while node in self.replaced or function_name(node) in PASSING:
            before = first_input(node)
            if before is None:
                break
            node = before
        return node

    def _sums(self, start: fx.Node) -> set[fx.Node]:
        """The sums at `start` and below it, through sums, weights, moves, pooling, replaced ReLUs."""
        planned = {y for added in self.shortcuts.values() for y in added}
        seen: set[fx.Node] = set()
        waiting = [start]
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += [user for user in node.users if self._lets_through(user)]
                waiting += self.shortcuts.get(node, [])
        return {node for node in seen if node in planned or _is_sum(node)}

    def _lets_through(self, node: fx.Node) -> bool:
        through = ADDING | WEIGHING | PASSING | POOLING
        return node in self.replaced or function_name(node) in through


def _is_sum(node: fx.Node) -> bool:
    return function_name(node) in ADDING and len(node.all_input_nodes) > 1
