"""A shortcut around every convolution with a ±1 input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from binarize.layers.block import Shortcut
from binarize.rewrite.capture import Call
from binarize.rewrite.inventory import (
    ACTIVATING,
    CONVOLUTIONS,
    FEEDERS,
    PASSING,
    Layer,
    first_input,
)
from binarize.rewrite.nodes import function_name
from binarize.rewrite.surgery.block_graph import Unfit, editable, find, install
from binarize.rewrite.surgery.flow import Flow
from binarize.rewrite.surgery.scene import Block, Scene

CHILD = "shortcut"
"""The name of the new module: a child of its convolution, so that no container gets longer."""

NORMS = set(FEEDERS["norm"].split())


@dataclass(frozen=True)
class AddedShortcut:
    """One shortcut to add.

    Attributes:
        layer: the convolution that it goes around.
        block: whose forward is edited.
        taken: (child, ordinal, position): x is that argument of that call.
        behind: (child, ordinal): y is what that call returns.
        stride: by which x is averaged down; 1: as it is.
    """

    layer: str
    block: Block
    taken: tuple[str, int, int]
    behind: tuple[str, int]
    stride: int


@dataclass(frozen=True)
class _Place:
    """Where a shortcut would go: the block's execution, the two calls in it, the two values."""

    block: Call
    start: Call
    position: int
    end: Call
    x: fx.Node
    y: fx.Node


class AddShortcut:
    """y = norm(conv(sign(x)))  ->  y + x: an identity shortcut, as Bi-Real Net has them.

    1. Around convolutions with a binary input that are modules executed once; not around linear layers.
       x is the input before its sign, y what the norm made that alone reads the convolution, or what the
       convolution made where no norm does.
    2. Both have to be values of one forward, that of the innermost block that calls the convolution and
       the norm, maybe through children: x an argument of the one child's call, y what the other's returns,
       with nothing but the norm and activations in it. Otherwise the norm belongs to the next layer
       (dpn), and y is what the convolution made.
    3. Where the norm's child applies an activation too (timm's BatchNormAct2d), the shortcut goes behind
       the activation, whether that was taken away, replaced or stays: x is not to go through it, and the
       norm's forward, which depends on the mode, is not edited.
    4. x and y have the same shape; or the same channels and H = ceil(H_x/k), W = ceil(W_x/k) with the
       convolution's stride k > 1: then x is averaged over k x k.
    5. Not where x is added to y already: where x, or what it was before a replaced ReLU, reaches a sum
       that y reaches, both without a layer, norm or remaining activation between. The sums of shortcuts
       already planned count. Layers are taken last to first, so a ResNet's basic block gets one around its
       second convolution; its first one's input reaches that sum's result through the block's own.
    6. Where the block cannot be edited (see `Scene.block`), or anything above fails, the reason is noted.
    """

    name = "shortcut"

    def plan(self, scene: Scene) -> list[AddedShortcut]:
        flow, edits = Flow(scene.replaced), []
        for layer in reversed(scene.layers):
            if layer.name not in scene.binary or layer.kind not in CONVOLUTIONS:
                continue
            try:
                edits.append(_edit(scene, flow, layer))
            except Unfit as reason:
                scene.skip(layer.name, reason)
        return edits[::-1]

    def apply(self, model: nn.Module, edit: Mapping[str, Any]) -> bool:
        layer = model.get_submodule(edit["layer"])
        if CHILD in layer._modules:
            return False
        name = edit["block"]["module"]
        owner = model.get_submodule(name)
        graph = editable(owner, edit["block"]["arguments"])
        child, ordinal, position = edit["taken"]
        x = find(graph, child, ordinal).args[position]
        y = find(graph, *edit["behind"])
        with graph.inserting_after(y):
            new = graph.call_module(_below(owner, layer), (y, x))
        y.replace_all_uses_with(new, lambda user: user is not new)
        layer.add_module(CHILD, Shortcut(edit["stride"]).train(layer.training))
        install(owner, graph)
        return True


def _edit(scene: Scene, flow: Flow, layer: Layer) -> AddedShortcut:
    place = _place(scene, layer)
    if flow.meet(place.x, place.y):
        raise Unfit("bypassed already")
    stride = _stride(scene.model.get_submodule(layer.name), place)
    block = scene.block(place.block)
    taken = (scene.target(place.start), scene.ordinal(place.start), place.position)
    behind = (scene.target(place.end), scene.ordinal(place.end))
    flow.add(place.x, place.y)
    return AddedShortcut(layer.name, block, taken, behind, stride)


def _place(scene: Scene, layer: Layer) -> _Place:
    conv = _conv(scene, layer)
    norm = _norm(conv.output)
    beside = _beside(conv, norm) if norm is not None else None
    return beside or _Place(conv.parent, conv, 0, conv, conv.arguments[0], conv.output)


def _beside(conv: Call, norm: fx.Node) -> _Place | None:
    """The place behind the norm, if there is one where both values are at hand."""
    above, holding = _lineage(conv), _lineage(norm.meta["call"])
    block = next(call for call in above if call in holding)
    if block in (conv, holding[0]):
        return None
    start, end = above[above.index(block) - 1], holding[holding.index(block) - 1]
    x = conv.arguments[0]
    positions = [index for index, given in enumerate(start.arguments) if given is x]
    if (
        not positions
        or not isinstance(end.output, fx.Node)
        or not _only_activates(norm, end.output)
    ):
        return None
    return _Place(block, start, positions[0], end, x, end.output)


def _conv(scene: Scene, layer: Layer) -> Call:
    """The one execution of the layer's module, which took and returned one tensor."""
    name = layer.parameter.rpartition(".")[0]
    if len(layer.nodes) > 1 or len(scene.calls_of(name)) != 1 or layer.name != name:
        raise Unfit("its module is not executed exactly once")
    call = scene.calls_of(name)[0]
    if not call.arguments or not all(
        isinstance(v, fx.Node) for v in (*call.arguments, call.output)
    ):
        raise Unfit("its module takes something else than a tensor")
    if hasattr(scene.model.get_submodule(name), CHILD):
        raise Unfit(f'its module has a "{CHILD}" already')
    return call


def _norm(output: fx.Node) -> fx.Node | None:
    users = list(output.users)
    return users[0] if len(users) == 1 and function_name(users[0]) in NORMS else None


def _lineage(call: Call | None) -> list[Call]:
    """A call and those around it, the innermost first."""
    return [call, *_lineage(call.caller)] if call is not None else []


def _only_activates(norm: fx.Node, output: fx.Node) -> bool:
    node: fx.Node | None = output
    while node is not None and node is not norm:
        node = first_input(node) if function_name(node) in PASSING | ACTIVATING else None
    return node is norm


def _stride(module: nn.Module, place: _Place) -> int:
    before, after = place.x.meta["shape"], place.y.meta["shape"]
    if before == after:
        return 1
    strides = set(getattr(module, "stride", ()))
    if before[:2] != after[:2] or len(before) != 4 or len(strides) != 1:
        raise Unfit("its input and output have different channels or sizes")
    stride = strides.pop()
    if any(-(-old // stride) != new for old, new in zip(before[2:], after[2:], strict=True)):
        raise Unfit("its input and output have different channels or sizes")
    return stride


def _below(owner: nn.Module, layer: nn.Module) -> str:
    """The path of the layer's shortcut as `owner` has it."""
    for path, module in owner.named_modules():
        if module is layer:
            return f"{path}.{CHILD}"
    raise Unfit("its layer is not in its block")
