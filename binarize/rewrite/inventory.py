"""The layer inventory of a trace: every convolution and linear layer that ran, and what feeds it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import fx

from binarize.layers import layer_name
from binarize.rewrite.capture import Trace
from binarize.rewrite.nodes import argument, function_name

CONVOLUTIONS = {"conv1d", "conv2d", "conv3d"}
KINDS = {*CONVOLUTIONS, "linear"}
ATTENTION = "multi_head_attention_forward"
ATTENTION_WEIGHTS = (
    (5, "in_proj_weight"),
    (11, "out_proj_weight"),
    (None, "q_proj_weight"),
    (None, "k_proj_weight"),
    (None, "v_proj_weight"),
)

# Functions that move values about, or that are the identity in eval mode: they feed nothing of their own.
PASSING = {
    *("view", "reshape", "permute", "transpose", "flatten", "unflatten", "contiguous", "squeeze"),
    *(
        "unsqueeze",
        "slice",
        "alias",
        "expand",
        "expand_as",
        "repeat",
        "getitem",
        "__getitem__",
        "chunk",
        "split",
    ),
    *("tensor_split", "unbind", "to", "type", "type_as", "float", "clone", "detach", "pad", "roll"),
    *("narrow", "select", "movedim", "swapaxes", "moveaxis", "T", "mT", "pixel_shuffle", "flip"),
    *("pixel_unshuffle", "channel_shuffle", "unfold", "fold", "index_select", "as_strided"),
    *("view_as", "reshape_as", "dropout", "dropout1d", "dropout2d", "dropout3d"),
    *("feature_dropout", "alpha_dropout"),
}

FEEDERS = {
    "relu": "relu relu_ relu6 hardtanh hardtanh_ leaky_relu leaky_relu_ prelu threshold clamp clamp_min",
    "gelu": "gelu",
    "silu": "silu silu_ hardswish hardswish_ mish mish_ elu elu_ selu softplus",
    "sigmoid": "sigmoid sigmoid_ hardsigmoid hardsigmoid_ tanh tanh_",
    "norm": "batch_norm layer_norm group_norm instance_norm rms_norm local_response_norm normalize",
    "add": "add add_ __add__ __radd__ __iadd__ sub __sub__ __isub__ rsub sum",
    "mul": "mul mul_ __mul__ __rmul__ __imul__ div __truediv__",
    "attention": f"scaled_dot_product_attention matmul __matmul__ bmm baddbmm einsum softmax {ATTENTION}",
    "concat": "cat concat stack",
    "pool": "max_pool2d max_pool1d avg_pool2d avg_pool1d adaptive_avg_pool2d adaptive_avg_pool1d "
    "adaptive_max_pool2d max_pool2d_with_indices boolean_dispatch mean amax lp_pool2d",
    "layer": " ".join(sorted(KINDS)),
}
_FEEDER = {name: fed_by for fed_by, names in FEEDERS.items() for name in names.split()}
ACTIVATING = {
    name for fed_by in ("relu", "gelu", "silu", "norm") for name in FEEDERS[fed_by].split()
}
POOLING = set(FEEDERS["pool"].split())


@dataclass
class Layer:
    """One weight of one convolution or linear layer, as it was executed.

    Attributes:
        name: the module's name, with the parameter's appended unless that is "weight".
        parameter: the weight's state_dict key; None where `kind` could not be traced to one.
        kind: "conv1d", "conv2d", "conv3d" or "linear".
        shape: of the weight.
        fed_by: what feeds it: "input", "relu", "norm", "add", …; "constant" for position tables.
        groups: of a convolution, else 1.
        macs: multiply-accumulates for one image, over all executions.
        direct: the parameter itself (or its binary weight) reaches the function, not a transformed one.
        binary: what reaches the function is a binary weight.
        binary_input: what it is multiplied by is binary too, everywhere.
        nodes: where it was executed.
    """

    name: str
    parameter: str
    kind: str
    shape: tuple[int, ...]
    fed_by: str
    groups: int = 1
    macs: int = 0
    direct: bool = True
    binary: bool = False
    binary_input: bool = True
    nodes: list[fx.Node] = field(default_factory=list)

    @property
    def params(self) -> int:
        return math.prod(self.shape)

    @property
    def depthwise(self) -> bool:
        """One input channel per group: each filter sees a single channel."""
        return self.groups > 1 and self.shape[1] == 1


def inventory(trace: Trace) -> list[Layer]:
    """The layers of a trace in the order of their first execution."""
    layers: dict[str, Layer] = {}
    for node in trace.graph.nodes:
        for kind, weight, data, fed_by in _uses(node):
            key, direct, binary = _parameter(weight)
            if key is None:
                continue
            if key not in layers:
                path, _, leaf = key.rpartition(".")
                layers[key] = Layer(
                    name=layer_name(path, leaf),
                    parameter=key,
                    kind=kind,
                    shape=_origin(weight).meta["shape"],
                    fed_by=fed_by,
                    groups=_groups(node) if kind in CONVOLUTIONS else 1,
                )
            layer = layers[key]
            layer.macs += _macs(node, kind, weight, data)
            layer.direct &= direct
            layer.binary = binary
            layer.binary_input &= _is_binary(data)
            layer.nodes.append(node)
    return list(layers.values())


def feeder_of(node: fx.Node | None) -> str:
    """The word for what made `node`, looking through functions that only move values about."""
    while isinstance(node, fx.Node) and function_name(node) in PASSING:
        node = first_input(node)
    if not isinstance(node, fx.Node) or node.op == "get_attr":
        return "constant"
    if node.op == "placeholder":
        return "input"
    name = function_name(node)
    return _FEEDER.get(name, name.strip("_"))


def first_input(node: fx.Node) -> fx.Node | None:
    """The first tensor that `node` takes, also out of a list as `cat` has it."""
    return next(iter(node.all_input_nodes), None)


def _uses(node: fx.Node) -> Iterator[tuple[str, fx.Node, fx.Node, str]]:
    """(kind, weight, data, what feeds it) of each weight that `node` multiplies."""
    name = function_name(node)
    if name in KINDS:
        weight, data = argument(node, 1, "weight"), argument(node, 0, "input")
        if isinstance(weight, fx.Node) and isinstance(data, fx.Node):
            yield name, weight, data, feeder_of(data)
    elif name == ATTENTION:
        data = argument(node, 0, "query")
        for position, keyword in ATTENTION_WEIGHTS:
            weight = argument(node, position, keyword)
            if isinstance(weight, fx.Node) and isinstance(data, fx.Node):
                outgoing = keyword == "out_proj_weight"
                yield "linear", weight, data, "attention" if outgoing else feeder_of(data)


def _parameter(weight: fx.Node) -> tuple[str | None, bool, bool]:
    """(state_dict key, direct, binary) of the parameter that a weight comes from."""
    made = _origin(weight)
    binary = made.op == "call_module"
    origin = _origin(made.all_input_nodes[0]) if binary else made
    if origin.op != "get_attr" or origin.target == "constant":
        return None, False, False
    return str(origin.target), made is weight, binary


def _origin(weight: fx.Node) -> fx.Node:
    """The parameter or binarizer behind a weight that was reshaped, standardised, mixed from experts, …:
    up through first inputs, but to a parameter or binarizer wherever one is used."""
    while weight.op not in ("get_attr", "call_module"):
        inputs = weight.all_input_nodes
        if not inputs:
            return weight
        stored = [one for one in map(unmoved, inputs) if one.op in ("get_attr", "call_module")]
        stored = [one for one in stored if one.target != "constant"]
        weight = stored[0] if stored else inputs[0]
    return weight


def _is_binary(data: fx.Node) -> bool:
    return unmoved(data).op == "call_module"


def unmoved(node: fx.Node) -> fx.Node:
    """What `node` was before functions that only move values about."""
    while function_name(node) in PASSING:
        before = first_input(node)
        if before is None:
            break
        node = before
    return node


def _groups(node: fx.Node) -> int:
    groups = argument(node, 6, "groups")
    return groups if isinstance(groups, int) else 1


def _macs(node: fx.Node, kind: str, weight: fx.Node, data: fx.Node) -> int:
    """Weights x the positions that each is used at, for one image (traces are of batch 1)."""
    shape = weight.meta["shape"]
    if kind in CONVOLUTIONS:
        positions = math.prod(node.meta["shape"]) // shape[0]
    else:
        positions = math.prod(data.meta["shape"]) // data.meta["shape"][-1]
    return positions * math.prod(shape)
