"""What behind a recorded layer will be part of its op: `passes.fuse_outputs` on a recording, for sizes.

A recording of the float form has no shortcuts of surgery yet, and still has the ReLUs that surgery takes
away: the converted model says which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torch import fx, nn

from binarize.layers import block
from binarize.layers.addition import Addition
from binarize.rewrite.census import function_name, source_of
from binarize.rewrite.downsample import ADDING

ACTIVATIONS = {"relu": "Relu", "relu_": "Relu", "gelu": "Gelu"}
GONE = {"dropout", "dropout2d", "contiguous", "detach", "clone"}
"""Functions that leave nothing in the graph."""


@dataclass
class Ending:
    """What is fused to one execution of a layer.

    Attributes:
        names: the part of its op's name.
        nodes: what leaves no nodes of its own.
        shortcuts: of surgery, that leave none either.
    """

    names: list[str] = field(default_factory=list)
    nodes: list[fx.Node] = field(default_factory=list)
    shortcuts: int = 0


def endings(
    layers: Iterable[tuple[fx.Node, nn.Module]],
    model: nn.Module,
    norm: Callable[[fx.Node], list[fx.Node]],
) -> dict[fx.Node, Ending]:
    """The ending of each execution.

    Args:
        layers: executions of binary layers in their order, and the modules that have their weights.
        model: converted.
        norm: what goes into the scale of an execution, the normalisation first; empty where there is none.
    """
    modules, taken = dict(model.named_modules()), set()
    found = {}
    for node, module in reversed(list(layers)):  # of two that are added the later one takes it
        last = next(iter(norm(node)), node)
        found[node] = _ending(last, module, modules, taken)
        taken.update(found[node].nodes)
    return found


def _ending(
    last: fx.Node, module: nn.Module, modules: dict[str, nn.Module], taken: set[fx.Node]
) -> Ending:
    ending = Ending()
    value, user = _reader(last, modules)
    if isinstance(getattr(module, "shortcut", None), block.Shortcut):
        ending.names, ending.shortcuts = ["Add"], 1
    elif user is not None and _adds(user, value) and user not in taken:
        ending.names, ending.nodes = ["Add"], [user]
        value, user = _reader(user, modules)
    if user is not None and _activates(user) and _replaced(user, modules) is None:
        ending.names.append(ACTIVATIONS[function_name(user)])
        ending.nodes.append(user)
    return ending


def _reader(value: fx.Node, modules: dict[str, nn.Module]) -> tuple[fx.Node, fx.Node | None]:
    """(what it reads, what alone reads `value`), seen through what leaves nothing in the graph; None where
    there are several."""
    while len(value.users) == 1:
        user = next(iter(value.users))
        dropped = isinstance(_replaced(user, modules), block.Dropped)
        if not dropped and function_name(user) not in GONE:
            return value, user
        value = user
    return value, None


def _activates(node: fx.Node) -> bool:
    exact = node.kwargs.get("approximate", "none") == "none"
    return function_name(node) in ACTIVATIONS and exact


def _replaced(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    """What surgery put in the place of this ReLU."""
    module = modules.get(node.meta.get("module", ""))
    return module if isinstance(module, Addition) else None


def _adds(node: fx.Node, value: fx.Node) -> bool:
    """Whether it adds `value` and something else of its shape that is computed."""
    others = [one for one in node.args[:2] if isinstance(one, fx.Node) and one is not value]
    if function_name(node) not in ADDING or len(node.args) != 2 or len(others) != 1 or node.kwargs:
        return False
    same = others[0].meta.get("shape") == value.meta.get("shape")
    return same and source_of(others[0]) != "constant"
