"""Trace the forward of one module, and give it another.

The module keeps its place, its children and its names. What changes is its class: a subclass of the same
name whose forward is the one that torch.fx generates from the edited graph. Only the module's own forward
is traced; every child stays one call, by its attribute name, so that whatever is done to a child later is
done to what the new forward calls. See docs/decisions/0007.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import itertools
import linecache
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, fx, nn

from binarize.layers.unnamed import reduced

RELUS = (torch.relu, torch.relu_, torch.nn.functional.relu, torch.nn.functional.relu_)
RELU_METHODS = ("relu", "relu_")
FUNCTION = ""
"""The target of a ReLU that is called as a function, not through a child."""

_reused: ContextVar[dict[Any, tuple[nn.Module, fx.Graph]] | None] = ContextVar(
    "graphs_reused", default=None
)

Arguments = Mapping[str, Any]
"""Parameter name -> "tensor", ["list", n] or ["tuple", n] of tensors, for the parameters that were given."""

_numbers = itertools.count(1)


class Unfit(Exception):
    """Why an edit is not made: a clause for the user."""


def editable(module: nn.Module, arguments: Arguments) -> fx.Graph:
    """A copy of the graph of `module`'s forward: the traced one, or what earlier edits made of it.

    `node.meta["site"]` of a child's call or a ReLU is (target, how many calls of it came before) as it was
    traced. Raises Unfit where the forward cannot be traced or depends on train or eval mode.
    """
    graph = getattr(type(module), "_surgery_graph", None)
    if graph is None:
        graph = _remembered(module, arguments)
    result = fx.Graph()
    result.output(result.graph_copy(graph, {}))
    return result


@contextlib.contextmanager
def graphs_reused() -> Iterator[None]:
    """Within the block, what was traced to plan an edit is not traced again to make it: half of the time
    of a conversion with surgery. No forward may change in it but by `install`."""
    token = _reused.set({})
    try:
        yield
    finally:
        _reused.reset(token)


def _remembered(module: nn.Module, arguments: Arguments) -> fx.Graph:
    known = _reused.get()
    if known is None:
        return _build(module, arguments)
    key = (id(module), repr(sorted(arguments.items())))
    if key not in known:
        known[key] = (module, _build(module, arguments))  # the module, so that its id stays its own
    return known[key][1]


def install(module: nn.Module, graph: fx.Graph) -> None:
    """Have `module` execute `graph`."""
    graph.lint()
    cls = getattr(type(module), "_surgery_base", type(module))
    module.__class__ = _Executing(cls, graph).made


class _Executing:
    """A subclass of `base`, `made`, whose forward executes `graph`. It has no name to import: copies of its
    objects share it, and pickle makes it again from the graph."""

    def __init__(self, base: type[nn.Module], graph: fx.Graph) -> None:
        self.base, self.graph = base, graph

        def reduce_ex(block: nn.Module, protocol: Any) -> Any:
            return reduced(block, protocol, base, self.new)

        body = {
            "forward": _compiled(graph, base.__name__),
            "__reduce_ex__": reduce_ex,
            "_surgery_graph": graph,
            "_surgery_base": base,
            "__module__": base.__module__,
            "__qualname__": base.__qualname__,
            "__doc__": base.__doc__,
        }
        self.made = type(base.__name__, (base,), body)

    def new(self, *arguments: Any) -> nn.Module:
        """An object as pickle makes one: without `__init__`."""
        return self.made.__new__(self.made, *arguments)

    def __deepcopy__(self, memo: Any) -> _Executing:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.base, self.graph)


def find(graph: fx.Graph, target: str, ordinal: int) -> fx.Node:
    """The call of a child, or the ReLU, that was the `ordinal`-th of its target when traced.

    Raises Unfit where there is none.
    """
    for node in graph.nodes:
        if node.meta.get("site") == (target, ordinal):
            return node
    raise Unfit(f'its block has no call {ordinal} of "{target or "relu"}"')


def children_called(graph: fx.Graph) -> list[str]:
    """The targets of a graph's calls of children, in order."""
    return [node.target for node in graph.nodes if node.op == "call_module"]


def is_relu(node: fx.Node) -> bool:
    """Whether a node of a traced graph is a ReLU called as a function."""
    by_function = node.op == "call_function" and node.target in RELUS
    return by_function or (node.op == "call_method" and node.target in RELU_METHODS)


def _build(module: nn.Module, arguments: Arguments) -> fx.Graph:
    if "forward" in vars(module):
        raise Unfit("its block's forward was replaced on the object")
    modes = {part: part.training for part in module.modules()}
    try:
        graphs = [_build_in_mode(module, arguments, training) for training in (False, True)]
    finally:
        for part, training in modes.items():
            part.training = training
    if len({graph.python_code("self").src for graph in graphs}) > 1:
        raise Unfit("its block computes something else in training")
    _number(graphs[0])
    return graphs[0]


def _build_in_mode(module: nn.Module, arguments: Arguments, training: bool) -> fx.Graph:
    for part in module.modules():
        part.training = training
    root = copy.copy(module)  # the tracer keeps constants as attributes of what it traces
    try:
        graph = _BlockTracer(arguments).trace(root)
    except Exception as error:  # whatever the forward raises when it meets a proxy
        raise Unfit("its block cannot be traced") from error
    if vars(root).keys() != vars(module).keys():
        raise Unfit("its block's forward makes tensors or attributes of its own")
    return graph


def _number(graph: fx.Graph) -> None:
    counts: Counter[str] = Counter()
    for node in graph.nodes:
        if node.op == "call_module" or is_relu(node):
            target = node.target if node.op == "call_module" else FUNCTION
            node.meta["site"] = (target, counts[target])
            counts[target] += 1


def _compiled(graph: fx.Graph, name: str) -> Callable[..., Any]:
    code = graph.python_code("self")
    file = f"<surgery on {name} {next(_numbers)}>"
    lines = code.src.splitlines(keepends=True)
    linecache.cache[file] = (len(code.src), None, lines, file)  # for tracebacks
    namespace = dict(code.globals)
    exec(compile(code.src, file, "exec"), namespace)
    return namespace["forward"]


class _TensorProxy(fx.Proxy):
    """A proxy that is a tensor to `isinstance`: blocks take tensors or lists of them and look which."""

    @property  # type: ignore[misc]  # read-only, unlike that of object
    def __class__(self) -> type:
        return Tensor


class _BlockTracer(fx.Tracer):
    """Every child is a leaf; what the recorded call did not give keeps its default."""

    def __init__(self, arguments: Arguments) -> None:
        super().__init__()
        self.arguments = arguments

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        parameters = list(inspect.signature(root_fn).parameters.values())[1:]
        given = [self._given(p.name) if p.name in self.arguments else p.default for p in parameters]
        return root_fn, [self.root, *given]

    def create_arg(self, a: Any) -> Any:
        return a.node if issubclass(type(a), fx.Proxy) else super().create_arg(a)

    def _given(self, name: str) -> Any:
        node = self.create_node("placeholder", name, (), {})
        if self.arguments[name] == "tensor":
            return _TensorProxy(node, self)
        kind, length = self.arguments[name]
        whole = fx.Proxy(node, self)
        parts = [
            self.create_proxy("call_function", operator.getitem, (whole, index), {})
            for index in range(length)
        ]
        items = [_TensorProxy(part.node, self) for part in parts]
        return items if kind == "list" else tuple(items)
