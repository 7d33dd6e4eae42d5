"""The size of the ONNX file, predicted from a recording, before anything is exported.

    binary layers   ceil(weights / 8) bytes of bits, 4·O of scales, 4·O of a bias that is always there,
                    the shift or threshold of a binary input, and one node; a batch norm behind it costs
                    nothing, nor does what is fused to its end (`endings`)
    surgery         what is in the converted model and not in the recording of its float form
    the rest        the parameters and buffers that the graph reads, in their own types, and the nodes
                    that each recorded function becomes
    the file        functions and metadata

Everything with a name or a payload is counted as protobuf encodes it; what is estimated is the cost of
nodes without parameters (`COST`), measured on the models of benchmarks/export_models.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import onnx
from onnx import helper
from torch import fx, nn

from binarize.export.classifier import Classifier
from binarize.export.endings import Ending, endings
from binarize.export.forms import DEFAULT_FORM
from binarize.export.forms.size import LayerStored, stored_bytes
from binarize.export.functions import DOMAIN, OPS, function, needed
from binarize.layers import InputBinarizer, adapters, binary_weights, block
from binarize.packing import packed_bytes
from binarize.rewrite import Layer, Recording, census
from binarize.rewrite.census import CONVOLUTIONS, KINDS, argument, function_name
from binarize.runtime import FileInfo

HEADER = 200
"""Input, output, producer, versions."""
PROPERTIES = 900
"""Metadata of a converted run, where it is not known yet."""
VALUE = 11
"""The name of a value between nodes."""
FIELD = 3
"""Tag and length of a string or message."""

COST: dict[str, int] = {
    **dict.fromkeys(("dropout", "dropout2d", "contiguous", "detach", "to", "unbind", "chunk"), 0),
    **dict.fromkeys(("dim", "size", "_assert", "split", "type", "float", "clone", ""), 0),
    "relu": 27,
    "add": 36,
    "add_": 36,
    "mul": 36,
    "sigmoid": 34,
    "silu": 72,
    "hardsigmoid": 75,
    "gelu": 52,
    "softmax": 55,
    "matmul": 44,
    "scaled_dot_product_attention": 235,
    "batch_norm": 60,
    "layer_norm": 85,
    "conv2d": 135,
    "linear": 110,
    "max_pool2d": 173,
    "adaptive_avg_pool2d": 85,
    "avg_pool2d": 150,
    "mean": 85,
    "cat": 60,
    "permute": 56,
    "transpose": 56,
    "view": 63,
    "reshape": 63,
    "getitem": 93,
    "__getitem__": 64,
    "pad": 54,
    "roll": 300,
    "unsqueeze": 40,
}
"""Function -> bytes of the nodes that it becomes, without the names of its parameters."""
OTHER = 45
RPRELU = 225
"""Of its nodes and the 0 that they compare with."""
CAST = 40
"""The node that makes a float of a smaller type."""
MIXED = 150
"""Of what takes an expert's share and adds it up."""


def packed_size(
    model: nn.Module,
    recording: Recording,
    info: FileInfo | None = None,
    last: Classifier | None = None,
) -> int:
    """Predicted bytes of the file that `export` writes for `model`.

    Args:
        model: converted, or a float one.
        recording: of its float form: before conversion, or with binarization off.
        info: the file's metadata, where it is known already: its form decides what a layer takes.
        last: the classifier, where it is stored smaller.
    """
    form = info.form if info is not None else DEFAULT_FORM
    return _Estimate(model, recording, form, last).bytes(info)


@dataclass
class _Estimate:
    """Bytes of the parts of a file."""

    model: nn.Module
    recording: Recording
    form: str
    last: Classifier | None = None
    absorbed: set[fx.Node] = field(default_factory=set)
    """Nodes, parameters included, that leave nothing in the file."""
    mixed: int = 0
    """What taking shares of experts takes."""

    def __post_init__(self) -> None:
        owners, names = _owners(self.model), self.recording.names
        self.layers = census(self.recording)
        self.binary: dict[str, _Owner] = {}
        for layer in self.layers:
            keys = [key for key in names.get(layer.parameter, ()) if key in owners]
            if keys:
                self.binary[layer.parameter] = owners[keys[0]]
        if self.last is not None and self.last.frozen:
            module = self.model.get_submodule(self.last.key.rpartition(".")[0])
            self.binary[self.last.key] = _Owner(module, None)
        self.ours: list[LayerStored] = []
        executed = {node: layer for layer in self.layers for node in layer.nodes}
        self.endings = endings(
            [
                (node, self.binary[executed[node].parameter].module)
                for node in self.recording.graph.nodes
                if self._may_end(executed.get(node), node)
            ],
            self.model,
            _norm_behind,
        )
        self.tensors = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}

    def _may_end(self, layer: Layer | None, node: fx.Node) -> bool:
        """Whether the execution is one node of ours in the file."""
        if layer is None or layer.parameter not in self.binary or function_name(node) not in KINDS:
            return False
        return len(self.binary[layer.parameter].stored(layer)[0]) == 1

    def bytes(self, info: FileInfo | None) -> int:
        binary = [one for one in self.layers if one.parameter in self.binary]
        layers = sum(self._packed(layer, self.binary[layer.parameter]) for layer in binary)
        if self.form != DEFAULT_FORM and self.ours:
            layers = stored_bytes(self.form, self.ours) + self.mixed
        floats = [one for one in self.layers if one not in binary and one.kind in CONVOLUTIONS]
        biases = sum(self._float_bias(layer) for layer in floats)
        nodes = sum(self._node(node) for node in self.recording.graph.nodes)
        surgery = sum(_added(module) for module in self.model.modules())
        surgery -= COST["add"] * sum(ending.shortcuts for ending in self.endings.values())
        return layers + biases + nodes + surgery + self._constants() + self._frame(info)

    def _packed(self, layer: Layer, owner: _Owner) -> int:
        """Tensors and nodes of a binary layer; marks what they make superfluous."""
        names, shape = owner.stored(layer)
        total = sum(self._stored(name, shape, owner) for name in names)
        attributes = self.recording.graph.find_nodes(op="get_attr", target=layer.parameter)
        self.absorbed.update(attributes)
        for node in layer.nodes:
            self.absorbed.add(node)
            self.absorbed.update(_norm_behind(node))
            self.absorbed.update(_parameters_of(node))
            self.absorbed.update(_behind_weight(node))
            ending = self.endings.get(node, Ending())
            self.absorbed.update(ending.nodes)
            op = owner.op(layer, ending)
            for name in names:
                self.ours.append(LayerStored(name, op, shape, owner.split))
                total += _tensor(f"{name}.bias", shape[:1], 4)
                total += _binary_node(name, shape, op)
            if len(names) > 1:
                total += len(names) * MIXED
                self.mixed += len(names) * MIXED
        return total

    def _stored(self, name: str, shape: list[int], owner: _Owner) -> int:
        total = _tensor(f"{name}.bits", [packed_bytes(math.prod(shape))], 1)
        total += _tensor(f"{name}.scale", shape[:1], 4)
        if owner.inputs is not None:
            part = OPS[f"{owner.inputs.op}BinaryConv"].inputs[4]
            total += _tensor(f"{name}.{part}", list(owner.inputs.split.shape), 4)
        return total

    def _float_bias(self, layer: Layer) -> int:
        """A norm behind a float convolution goes into its weight and bias; a bias of zeros is dropped."""
        total = 0
        for node in layer.nodes:
            bias, norm = argument(node, 2, "bias"), _norm_behind(node)
            self.absorbed.update(norm)
            # As norms are before training: mean and shift are zero, so that no bias comes of them.
            ends = (argument(norm[0], 1, "mean"), argument(norm[0], 4, "bias")) if norm else ()
            if not self._all_zero(ends):
                total += (
                    _tensor(f"{layer.name}.weight_bias", [layer.shape[0]], 4) if not bias else 0
                )
            elif bias and self._all_zero([bias]):
                self.absorbed.add(bias)
        return total

    def _all_zero(self, nodes: Iterable[fx.Node | None]) -> bool:
        tensors = [self.tensors.get(node.target) for node in nodes if isinstance(node, fx.Node)]
        return all(tensor is not None and not tensor.any() for tensor in tensors)

    def _node(self, node: fx.Node) -> int:
        if node.op != "call_function" or node in self.absorbed:
            return 0
        name = function_name(node)
        read = _keys(node)
        names = sum(len(key) - VALUE + 2 for key in read)
        weight = next((key for key in read if key.endswith(".weight")), None)
        own = len(weight.removesuffix(".weight")) + 2 if weight else 0
        return COST.get(name, OTHER) + names + own

    def _constants(self) -> int:
        """Parameters and buffers that are read as they are; equal index tables once."""
        total, tables = 0, set()
        for node in self.recording.graph.nodes:
            tensor = self.tensors.get(node.target) if node.op == "get_attr" else None
            if tensor is None or node in self.absorbed or not _is_read(node):
                continue
            table = (node.target.rpartition(".")[2], tensor.shape)
            if tensor.is_floating_point() or table not in tables:
                tables.add(table)
                total += _tensor(node.target, list(tensor.shape), tensor.element_size())
        return total + self._smaller()

    def _smaller(self) -> int:
        """What storing the classifier with fewer bits changes."""
        if self.last is None or not self.last.stored:
            return 0
        key, small = self.last.key, self.last.stored[self.last.key]
        shape = list(small.elements.shape)
        saved = (4 - small.elements.itemsize) * math.prod(shape)
        extra = 2 * len(key) + CAST
        if small.scale is not None:
            extra += _tensor(f"{key}_scale", list(small.scale.shape), 4) + 4 * len(key) + CAST
        return extra - saved

    def _frame(self, info: FileInfo | None) -> int:
        functions = 0
        if self.form == DEFAULT_FORM:
            bodies = needed((layer.op, layer.shape) for layer in self.ours)
            functions = sum(function_bytes(op, whole) for op, whole in bodies.items())
        entries = info.to_properties().items() if info else ()
        metadata = sum(len(k.encode()) + len(v.encode()) + 3 * FIELD for k, v in entries)
        return HEADER + functions + (metadata or PROPERTIES)


def function_bytes(op: str, whole: bool) -> int:
    """What the function of `op` takes in a file; `whole`: see `functions.function`."""
    import onnx_ir as ir

    return ir.to_proto(function(op, 20, whole=whole)).ByteSize() + FIELD


@dataclass(frozen=True)
class _Owner:
    """The module that a binary weight belongs to, and what makes its input binary."""

    module: nn.Module
    inputs: InputBinarizer | None

    @property
    def split(self) -> list[int]:
        """Shape of the shift or threshold of a binary input."""
        return list(self.inputs.split.shape) if self.inputs is not None else []

    def op(self, layer: Layer, ending: Ending) -> str:
        product = "Conv" if layer.kind in CONVOLUTIONS else "Linear"
        return f"{self.inputs.op if self.inputs else ''}Binary{product}{''.join(ending.names)}"

    def stored(self, layer: Layer) -> tuple[list[str], list[int]]:
        """(names, shape of each) of the weights that it becomes: one, or one an expert."""
        if not isinstance(adapters.find(type(self.module)), adapters.ExpertsAdapter):
            return [layer.name], list(layer.shape)
        names = [f"{layer.name}.expert{n}" for n in range(self.module.num_experts)]
        return names, list(self.module.weight_shape)


def _owners(model: nn.Module) -> dict[str, _Owner]:
    """State_dict key -> owner of every binary weight."""
    paths = {id(module): name for name, module in model.named_modules()}
    return {
        f"{paths[id(module)]}.{parameter}".lstrip("."): _Owner(module, binarizer.inputs)
        for _, module, parameter, binarizer in binary_weights(model)
    }


def _added(module: nn.Module) -> int:
    """Bytes that block surgery adds to, or takes away from, the file of the float form."""
    if isinstance(module, block.Shortcut):
        return COST["add"] + (COST["avg_pool2d"] if module.stride > 1 else 0)
    if isinstance(module, block.Dropped):
        return -COST["relu"]
    if isinstance(module, block.RPReLU):
        shape = [*module.slope.shape, *([1, 1] if module.axis == 1 else [])]
        return 3 * _tensor("v" * VALUE, shape, 4) + RPRELU - COST["relu"]
    return 0


def _tensor(name: str, shape: list[int], width: int) -> int:
    """Bytes of an initializer with its raw data."""
    proto = onnx.TensorProto(name=name, dims=shape, data_type=onnx.TensorProto.FLOAT)
    payload = width * math.prod(shape)
    return proto.ByteSize() + payload + _varint(payload) + 1 + _varint(payload) + 1


def _varint(number: int) -> int:
    return max(1, math.ceil(number.bit_length() / 7))


def _binary_node(name: str, shape: list[int], op: str) -> int:
    attributes: dict[str, object] = {"shape": shape}
    if OPS[op].product == "Conv":
        axes = len(shape) - 2
        ones, pads = [1] * axes, [1] * 2 * axes
        attributes |= {"strides": ones, "pads": pads, "dilations": ones, "group": 1}
    computed = ("x", "residual")
    inputs = ["x" * VALUE if part in computed else f"{name}.{part}" for part in OPS[op].inputs]
    proto = helper.make_node(op, inputs, ["y" * VALUE], name=name, domain=DOMAIN, **attributes)
    return proto.ByteSize() + FIELD


def _norm_behind(node: fx.Node) -> list[fx.Node]:
    """The batch norm that alone reads `node`, with its parameters."""
    users = list(node.users)
    if len(users) != 1 or function_name(users[0]) != "batch_norm":
        return []
    return [users[0], *_parameters_of(users[0])]


def _parameters_of(node: fx.Node) -> Iterator[fx.Node]:
    """Parameters and buffers that `node` alone reads, through binary weights as well."""
    for one in node.all_input_nodes:
        origin = one.args[0] if one.op == "call_module" else one
        if origin.op == "get_attr":
            yield origin


def _behind_weight(node: fx.Node) -> Iterator[fx.Node]:
    """What a weight is made of by constants alone (standardised, multiplied by a gain): the scale has it."""
    weight = argument(node, 1, "weight")
    if not isinstance(weight, fx.Node) or weight.op == "placeholder":
        return
    pending, made = [weight], []
    while pending:
        one = pending.pop()
        if one.op == "placeholder":
            return
        made.append(one)
        pending += one.all_input_nodes
    yield from made


def _keys(node: fx.Node) -> list[str]:
    return [one.target for one in node.all_input_nodes if one.op == "get_attr"]


def _is_read(node: fx.Node) -> bool:
    return any(user.op != "output" for user in node.users)
