"""What a surgery pass plans with: the float model, its trace, and which layers get ±1 inputs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from torch import fx, nn

from binarize.rewrite.capture import Call, Trace
from binarize.rewrite.inventory import KINDS, Layer
from binarize.rewrite.nodes import argument, function_name
from binarize.rewrite.surgery.block_graph import Unfit, children_called, editable, is_relu
from binarize.run.edits import Edit

RELUS = ("relu", "relu_")
"""How a trace calls a ReLU; relu6, leaky_relu and the like have names of their own."""


@dataclass(frozen=True)
class Block:
    """A module whose forward is edited.

    Attributes:
        module: its name; "" for the model itself.
        arguments: what its forward is given; see `block_graph.Arguments`.
    """

    module: str
    arguments: dict[str, Any]


@dataclass
class Scene:
    """Everything that is known before the first edit.

    Attributes:
        model: float; plans leave it alone.
        trace: of `model`.
        layers: its layer inventory.
        binary: names of the layers whose input becomes ±1.
        replaced: the ReLUs of the trace that the passes so far take away or replace.
        skipped: (layer or module, why) of each edit that was wanted and is not made.
    """

    model: nn.Module
    trace: Trace
    layers: list[Layer]
    binary: set[str]
    replaced: set[fx.Node] = field(default_factory=set)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    _blocks: dict[Call, Block | Unfit] = field(default_factory=dict)
    _targets: dict[str, list[str]] = field(default_factory=dict)

    def inputs(self) -> Iterator[tuple[Layer, fx.Node, fx.Node]]:
        """(layer, node, what it multiplies) for each execution of a layer with a binary input."""
        for layer in self.layers:
            for node in layer.nodes if layer.name in self.binary else ():
                data = argument(node, 0, "input")
                if function_name(node) in KINDS and isinstance(data, fx.Node):
                    yield layer, node, data

    def calls_of(self, name: str) -> list[Call]:
        """The executions of a module."""
        return [call for call in self.trace.calls if call.name == name]

    def children(self, call: Call) -> list[Call]:
        """The executions that `call` is made of, one level down."""
        return [child for child in self.trace.calls if child.caller is call]

    def ordinal(self, call: Call) -> int:
        """How often the caller had called the same module before."""
        same = [child for child in self.children(call.parent) if child.name == call.name]
        return same.index(call)

    def relus(self, call: Call) -> list[fx.Node]:
        """The ReLUs that `call` computed itself, in order."""
        nodes = self.trace.graph.nodes
        return [n for n in nodes if n.meta.get("call") is call and function_name(n) in RELUS]

    def block(self, call: Call) -> Block:
        """The module that `call` executed, as one whose forward can be edited.

        Raises Unfit where it is executed more than once, or where its trace does not call the children
        that the recorded execution called.
        """
        if call not in self._blocks:
            try:
                self._blocks[call] = self._checked(call)
            except Unfit as reason:
                self._blocks[call] = reason
        found = self._blocks[call]
        if isinstance(found, Unfit):
            raise found
        return found

    def target(self, call: Call) -> str:
        """The attribute by which the caller's trace calls the module of `call`."""
        block = self.block(call.parent)
        return self._targets[block.module][self.children(call.parent).index(call)]

    def _checked(self, call: Call) -> Block:
        module = self.model.get_submodule(call.name)
        if len(self.calls_of(call.name)) != 1:
            raise Unfit("its block is not executed exactly once")
        if hasattr(module, "forward_features"):
            raise Unfit("it stands in no block of its own")  # forward is not the only way in
        block = Block(call.name, _arguments(module, call))
        graph = editable(module, block.arguments)
        targets = self._targets[block.module] = children_called(graph)
        in_graph = [module.get_submodule(target) for target in targets]
        executed = [self.model.get_submodule(child.name) for child in self.children(call)]
        same = [id(child) for child in in_graph] == [id(child) for child in executed]
        if not same or sum(map(is_relu, graph.nodes)) != len(self.relus(call)):
            raise Unfit("its block's graph differs from its execution")
        return block

    def skip(self, name: str, reason: Unfit) -> None:
        self.skipped.append((name, str(reason)))


def as_edit(name: str, edit: Any) -> Edit:
    """An edit as a run keeps it: plain, with the name of the pass that makes it."""
    return cast(Edit, {"pass": name, **asdict(edit)})


def _arguments(module: nn.Module, call: Call) -> dict[str, Any]:
    signature = inspect.signature(type(module).forward)
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    if not kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY}:
        raise Unfit("its block takes arguments without a fixed place")
    given = signature.bind(module, *call.arguments, **call.keywords).arguments
    given.pop(next(iter(signature.parameters)))
    return {name: _kind(value) for name, value in given.items()}


def _kind(value: Any) -> Any:
    if isinstance(value, fx.Node):
        return "tensor"
    if isinstance(value, (list, tuple)) and all(isinstance(item, fx.Node) for item in value):
        return ["list" if isinstance(value, list) else "tuple", len(value)]
    raise Unfit("its block is given something else than tensors")
