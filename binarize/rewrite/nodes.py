"""What a node of a graph calls, and with which arguments."""

from __future__ import annotations

from torch import fx
from torch.fx.node import Argument


def function_name(node: fx.Node) -> str:
    """`relu` for F.relu, `view` for Tensor.view, `T` for the attribute, `conv2d` for aten.conv2d.default (as
    modules of torch.export have it); "" for what is not a call."""
    if node.op != "call_function":
        return ""
    name = getattr(node.target, "__name__", "")
    if name == "__get__":  # an attribute that is a tensor: x.T
        name = getattr(getattr(node.target, "__self__", None), "__name__", name)
    return name.partition(".")[0]


def argument(node: fx.Node, position: int | None, keyword: str) -> Argument:
    """An argument of a call, wherever it stands."""
    if keyword in node.kwargs:
        return node.kwargs[keyword]
    if position is not None and position < len(node.args):
        return node.args[position]
    return None
