"""The ReLU before a ±1 input goes, or becomes an RPReLU."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from binarize.layers.block import Dropped, RPReLU
from binarize.rewrite.capture import Call
from binarize.rewrite.inventory import CONVOLUTIONS, PASSING, first_input
from binarize.rewrite.nodes import argument, function_name
from binarize.rewrite.surgery.block_graph import FUNCTION, Unfit, editable, find, install
from binarize.rewrite.surgery.scene import RELUS, Block, Scene

POOLS = {f"{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)}
JOINING = {"cat", "concat"}
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class ReplacedRelu:
    """One ReLU to replace.

    Attributes:
        form: "dropped" or "rprelu".
        inplace: whether it writes into its input.
        channels, axis: of its result; what an RPReLU has parameters for.
        module: the name of the ReLU module that makes way, where one call of it is all there is.
        block: else the block whose forward calls it,
        target, ordinal: there, which call it is: a child's name, or "" for a function, and how many of
            the same came before.
    """

    form: str
    inplace: bool
    channels: int
    axis: int
    module: str | None = None
    block: Block | None = None
    target: str = FUNCTION
    ordinal: int = 0


class ReplaceRelu:
    """relu -> nothing (`dropped`: Bi-Real Net) or RPReLU (`rprelu`: ReActNet).

    1. What feeds a binary input is found by walking up from it through functions that only move values
       about, through max and average pooling, unless it is of the whole image (of values of one sign they
       make values of that sign), and through every operand of a concatenation.
    2. If all that the walk ends at are ReLUs, they are replaced: the sign of what a ReLU made is the
       constant +1. Whatever else reads the same ReLU then reads the replacement too.
    3. A ReLU that feeds no binary input stays, and so do ReLU6, leaky ReLU, hard swish and every other
       activation: they have values below and above a threshold, which the shift before the sign finds.
    4. An `nn.ReLU` that is executed once makes way for its replacement, under its name, wherever it
       stands: also inside timm's BatchNormAct2d. Nothing is traced.
    5. An `nn.ReLU` that is executed several times (torchvision's BasicBlock.relu) and a ReLU called as a
       function are replaced call by call, in the forward of the block that makes the call. The
       replacement is a new child `<relu>_<ordinal>` of that block.
    6. Where that block cannot be edited (see `Scene.block`), or is a container, which is as long as it
       has children, the ReLU stays and the reason is noted.
    """

    name = "replace_relu"

    def __init__(self, form: str = "dropped") -> None:
        self.form = form

    def plan(self, scene: Scene) -> list[ReplacedRelu]:
        edits = []
        for node, axis in _wanted(scene).items():
            try:
                edits.append(self._edit(scene, node, axis))
                scene.replaced.add(node)
            except Unfit as reason:
                scene.skip(f"ReLU in {node.meta['module'] or 'the model'}", reason)
        return edits

    def apply(self, model: nn.Module, edit: Mapping[str, Any]) -> bool:
        if edit["module"] is not None:
            return _apply_to_module(model, edit)
        return _apply_to_call(model, edit)

    def _edit(self, scene: Scene, node: fx.Node, axis: int) -> ReplacedRelu:
        call: Call = node.meta["call"]
        channels = node.meta["shape"][axis]
        inplace = function_name(node) == "relu_" or bool(argument(node, 1, "inplace"))
        common = (self.form, inplace, channels, axis)
        if type(scene.model.get_submodule(call.name)) is not nn.ReLU:
            block, target, ordinal = scene.block(call), FUNCTION, scene.relus(call).index(node)
        elif len(scene.calls_of(call.name)) == 1:
            return ReplacedRelu(*common, module=call.name)
        else:
            block = scene.block(call.parent)
            target, ordinal = scene.target(call), scene.ordinal(call)
        owner = scene.model.get_submodule(block.module)
        if isinstance(owner, CONTAINERS) or hasattr(owner, _child(target, ordinal)):
            raise Unfit("its block has no place for a new child")
        return ReplacedRelu(*common, block=block, target=target, ordinal=ordinal)


def _wanted(scene: Scene) -> dict[fx.Node, int]:
    """ReLU -> axis of its channels, for the ReLUs that are all there is before some binary input."""
    wanted: dict[fx.Node, int] = {}
    for layer, _, data in scene.inputs():
        ends = _ends(data)
        if all(function_name(end) in RELUS for end in ends):
            for end in ends:
                wanted.setdefault(end, _axis(end, layer.kind, layer.shape))
    return wanted


def _ends(node: fx.Node) -> list[fx.Node]:
    """What made `node`, looking through moves, local pooling and concatenation."""
    name = function_name(node)
    if name in JOINING:
        return [end for part in node.all_input_nodes for end in _ends(part)]
    before = first_input(node)
    if before is not None and (name in PASSING or _pools_locally(node)):
        return _ends(before)
    return [node]


def _pools_locally(node: fx.Node) -> bool:
    name, positions = function_name(node), node.meta.get("shape", ())[2:]
    return name in POOLS or (name.removeprefix("adaptive_") in POOLS and math.prod(positions) > 1)


def _axis(relu: fx.Node, kind: str, weight: tuple[int, ...]) -> int:
    """The last axis where a linear layer sums over it, else the one of a convolution's channels."""
    shape = relu.meta["shape"]
    return -1 if kind not in CONVOLUTIONS and shape[-1] == weight[1] else 1


def _apply_to_module(model: nn.Module, edit: Mapping[str, Any]) -> bool:
    old = model.get_submodule(edit["module"])
    if isinstance(old, (Dropped, RPReLU)):
        return False
    new = _replacement(model, edit).train(old.training)
    for parent in list(model.modules()):
        for child, module in parent._modules.items():
            if module is old:
                parent._modules[child] = new
    return True


def _apply_to_call(model: nn.Module, edit: Mapping[str, Any]) -> bool:
    owner = model.get_submodule(edit["block"]["module"])
    child = _child(edit["target"], edit["ordinal"])
    if child in owner._modules:
        return False
    graph = editable(owner, edit["block"]["arguments"])
    relu = find(graph, edit["target"], edit["ordinal"])
    with graph.inserting_after(relu):
        new = graph.call_module(child, (relu.all_input_nodes[0],))
    relu.replace_all_uses_with(new)
    graph.erase_node(relu)
    owner.add_module(child, _replacement(model, edit).train(owner.training))
    install(owner, graph)
    return True


def _child(target: str, ordinal: int) -> str:
    return f"{target.replace('.', '_') or 'relu'}_{ordinal}"


def _replacement(model: nn.Module, edit: Mapping[str, Any]) -> nn.Module:
    if edit["form"] == "dropped":
        return Dropped(edit["inplace"])
    like = next(p for p in model.parameters() if p.is_floating_point())
    return RPReLU(edit["channels"], edit["axis"], edit["inplace"]).to(like)
