"""Capture one forward pass as a torch.fx graph.

A symbolic trace of a whole model is fragile: over timm and torchvision it fails for one model in five,
and where it succeeds it may have baked in a branch or hidden layers inside a leaf. So the graph is taken
from a run instead: the model is executed once on fake tensors (shapes without data, so neither time nor
memory), and every torch function that it calls becomes a node. Whatever runs can be captured; layers
that a parent bypasses (`F.linear(x, self.qkv.weight)`) are seen like any other, because what counts is
the weight that reaches the convolution, not the module that was called. See docs/decisions/0004.

The graph is for analysis: what feeds a layer, which layers are gates, what the stem is, how many MACs.
The module tree stays the executable.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.node import map_aggregate
from torch.overrides import TorchFunctionMode

from binarize.errors import ModelError
from binarize.layers import InputBinarizer, WeightBinarizer
from binarize.layers.product import BinaryWeight
from binarize.models import copied, logits_of, tensors_in
from binarize.models.attributes import set_attribute
from binarize.rewrite.nodes import function_name
from binarize.rewrite.refusals import check_kind, check_logits, explained

Size = tuple[int, ...]
"""Channels, height and width of the input image; channels, frames, height and width of a clip."""


@dataclass(eq=False)
class Call:
    """One execution of a module's forward. Nodes stand where tensors were.

    Attributes:
        name: of the module; the first of its names where it has several.
        caller: the execution that it was part of; None for the whole.
        arguments, keywords: what forward was given.
        output: what it returned.
    """

    name: str
    caller: Call | None
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)
    output: Any = None

    @property
    def parent(self) -> Call:
        """The caller of an execution that is not the whole."""
        assert self.caller is not None
        return self.caller


@dataclass
class Trace:
    """A forward pass at batch 1.

    Attributes:
        graph: one node per torch function; `node.meta["shape"]` where it returns one tensor,
            `node.meta["module"]`, the name of the module that called it, and `node.meta["call"]`, the
            `Call` that it did so in.
            Parameters and buffers are `get_attr` nodes under their state_dict key; a binary weight or a
            binary input is a `call_module` node whose target is its binarizer. The `output` node has all
            tensors of the model's output, the logits first.
        names: every name of each parameter, the first being the one used in the graph (a shared
            parameter has several).
        output_shape: of the model's logits.
        calls: the executions of all modules, in the order in which they began.
    """

    graph: fx.Graph
    names: dict[str, list[str]]
    output_shape: tuple[int, ...]
    calls: list[Call] = field(default_factory=list)

    @property
    def output_shapes(self) -> list[tuple[int, ...]]:
        """Of all tensors of the model's output."""
        (output,) = self.graph.find_nodes(op="output")
        return [node.meta["shape"] for node in output.args[0]]

    @property
    def last_function(self) -> str:
        """Makes the logits: "linear", "sigmoid"."""
        (output,) = self.graph.find_nodes(op="output")
        return function_name(output.args[0][0])


def capture(model: nn.Module, size: Size, batch: int = 1, submodule: str = "") -> Trace:
    """Run a fake copy of `model`, in eval mode, on an image of `size` and capture what it calls.

    With `submodule`, that part runs alone; names stay those of the whole model.

    Raises ModelError where the model does not run on such an image.
    """
    return capture_batches(model, size, (batch,), submodule)[0]


def capture_batches(
    model: nn.Module, size: Size, batches: Sequence[int], submodule: str = ""
) -> list[Trace]:
    """A trace for each batch size, all of one fake copy. See `capture`."""
    check_kind(model)
    try:
        mode = fake_mode(model)
        with _quiet(), _uncollected():
            fake = fake_copy(model, mode)
            return [_capture(fake, mode, (batch, *size), submodule) for batch in batches]
    except ModelError:
        raise
    except Exception as error:
        raise explained(model.get_submodule(submodule), size, error) from error


def fake_mode(model: nn.Module) -> FakeTensorMode:
    """The mode for a fake copy of `model`: its own where it was created without data, else a new one."""
    tensors = (*model.parameters(), *model.buffers())
    own = (tensor.fake_mode for tensor in tensors if isinstance(tensor, FakeTensor))
    return next(own, None) or FakeTensorMode(allow_non_fake_inputs=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch logs the traceback of whatever does not run on fake tensors; the error says enough."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before = logger.disabled
    try:
        logger.disabled = True
        yield
    finally:
        logger.disabled = before


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """A graph makes many small objects, none of which is garbage yet: the collector would walk through all
    that torch has loaded, several times a trace, without effect."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def fake_copy(model: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """A copy of `model` whose parameters and buffers have shapes but no data; those that have none
    already are the model's own."""
    memo: dict[int, Any] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        if isinstance(tensor, FakeTensor):
            memo[id(tensor)] = tensor
            continue
        fake = _fake(tensor, mode)
        if isinstance(tensor, nn.Parameter):
            fake = nn.Parameter(fake, requires_grad=tensor.requires_grad)
        memo[id(tensor)] = fake
    return copied(model, memo)


def _fake(tensor: Tensor, mode: FakeTensorMode) -> Tensor:
    """What `mode.from_tensor` gives for a tensor that is no view, in a twentieth of the time."""
    layout = (tensor.shape, tensor.stride())
    shape = torch.empty_strided(*layout, dtype=tensor.dtype, device="meta")
    return FakeTensor(mode, shape, tensor.device)


def _shorten(model: nn.Module) -> None:
    """Have the binarizers of a fake copy do no arithmetic: what they make is one node and has the shape
    of what they take, whatever is computed inside. That halves the time of a trace."""
    for module in model.modules():
        if isinstance(module, WeightBinarizer) and module.enabled:
            set_attribute(module, "forward", _shape_of_weight)
        elif isinstance(module, InputBinarizer):
            set_attribute(module, "forward", Tensor.detach)


def _shape_of_weight(
    latent: Tensor, return_scale: bool = False, gain: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """What `WeightBinarizer.forward` returns, without values."""
    with torch._C.DisableTorchFunction():  # the tracer has nothing to see here
        binary = latent.detach()
        scale = (len(latent), *[1] * (latent.ndim - 1))
        return (binary, latent.new_empty(scale)) if return_scale else binary


def _capture(
    model: nn.Module, mode: FakeTensorMode, shape: tuple[int, ...], submodule: str
) -> Trace:
    model.eval()
    _shorten(model)
    names: dict[int, list[str]] = {}
    tensors = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    for name, tensor in tensors:
        names.setdefault(id(tensor), []).append(name)
    tracer = _Tracer({id(tensor): names[id(tensor)][0] for _, tensor in tensors})
    with mode, torch.no_grad():
        image = torch.empty(shape, dtype=_dtype(model))
        tracer.bind(image, tracer.graph.placeholder("image"))
        with tracer, tracer.hooked(model):
            output = model.get_submodule(submodule)(image)
    logits = logits_of(output)
    check_logits(logits)
    tracer.graph.output(tuple(tracer.node_of(tensor) for tensor in tensors_in(output)))
    by_first = {n[0]: n for n in names.values()}
    return Trace(tracer.graph, by_first, tuple(logits.shape), tracer.calls)


def _dtype(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


@dataclass
class _Tracer(TorchFunctionMode):
    """Turns torch functions into nodes while it is active.

    Attributes:
        parameters: tensor id -> state_dict key.
        running: the modules whose forward is under way, the innermost last.
        calls: all that were ever running.
    """

    parameters: dict[int, str]
    running: list[Call] = field(default_factory=lambda: [Call("", None)])
    calls: list[Call] = field(default_factory=list)
    graph: fx.Graph = field(default_factory=fx.Graph)
    _nodes: dict[int, fx.Node] = field(default_factory=dict)
    _alive: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def bind(self, tensor: Tensor, node: fx.Node) -> None:
        """From now on `tensor` is the result of `node`."""
        self._nodes[id(tensor)] = node
        self._alive.append(tensor)  # a dead tensor's id would be given to another
        node.meta["shape"] = tuple(tensor.shape)

    def node_of(self, value: Any) -> Any:
        """The node that made `value`, if it is a tensor; anything else as it is."""
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self._nodes:
            name = self.parameters.get(id(value), "constant")
            node = self.graph.create_node("get_attr", name)
            self.bind(value, node)
        return self._nodes[id(value)]

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if any(isinstance(arg, BinaryWeight) for arg in (*args, *kwargs.values())):
            with self:  # what it makes of the call is what is captured
                return BinaryWeight.__torch_function__(func, types, args, kwargs)
        result = func(*args, **kwargs)
        written = args[0] if func is Tensor.__setitem__ else result
        if any(True for _ in tensors_in(written)):
            node = self.graph.create_node(
                "call_function",
                func,
                map_aggregate(tuple(args), self.node_of),
                map_aggregate(dict(kwargs), self.node_of),
            )
            node.meta["module"] = self.running[-1].name
            node.meta["call"] = self.running[-1]
            self._bind_all(written, node)
        return result

    def _bind_all(self, result: Any, node: fx.Node) -> None:
        if isinstance(result, Tensor):
            self.bind(result, node)
        elif isinstance(result, (tuple, list)):
            for index, item in enumerate(result):
                part = self.graph.create_node("call_function", operator.getitem, (node, index))
                self._bind_all(item, part)

    def enter(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The forward of module `name` begins."""
        arguments = map_aggregate(tuple(args), self.node_of)
        keywords = map_aggregate(dict(kwargs), self.node_of)
        self.running.append(Call(name, self.running[-1], arguments, keywords))
        self.calls.append(self.running[-1])

    def leave(self, output: Any) -> None:
        """The forward of the innermost module ends."""
        self.running.pop().output = map_aggregate(output, self.node_of)

    def hooked(self, model: nn.Module) -> _ModuleHooks:
        """Have each binarizer of `model` appear as one `call_module` node."""
        return _ModuleHooks(self, model)


class _ModuleHooks:
    """Hooks that tell the tracer which module is running and what a binarizer makes."""

    def __init__(self, tracer: _Tracer, model: nn.Module) -> None:
        self.tracer, self.model = tracer, model

    def __enter__(self) -> None:
        self.handles = []
        for name, module in self.model.named_modules():
            binarizer = isinstance(module, (WeightBinarizer, InputBinarizer))
            enter, leave = self._hooks(name, binarizer)
            self.handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            self.handles.append(module.register_forward_hook(leave))

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _hooks(self, name: str, binarizer: bool) -> tuple[Callable[..., None], ...]:
        tracer = self.tracer

        def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
            tracer.enter(name, args, kwargs)

        def leave(_: nn.Module, inputs: Any, output: Any) -> None:
            tracer.leave(output)
            if not binarizer:
                return
            made = output[0] if isinstance(output, tuple) else output  # signs, and their scale
            if made is not inputs[0]:  # as it is where it is switched off
                before = tracer.node_of(inputs[0])
                tracer.bind(made, tracer.graph.create_node("call_module", name, (before,)))

        return enter, leave
