"""The size of the ONNX file, predicted from shapes and types before anything is exported.

    bytes = payload + allowance

    payload     binary weights    ceil(weights / 8) of bits, and a scale and a bias per filter; bits and
                                  scales of every base
                binary inputs     their shifts or thresholds
                everything else   parameters and buffers that the graph reads, in their own types; equal
                      tables once, indices and masks in fewer bits (`passes.compress_tables`)
    allowance   nodes, names, functions and metadata, as measured

What the export folds is not stored: a batch norm behind a convolution goes into its bias (and scale), a bias
or gain of a binary layer into the layer's own, and the statistics of any other norm into its two vectors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensor

from binarize.exporting.classifier import Classifier
from binarize.exporting.forms import DEFAULT_FORM, FLOAT
from binarize.exporting.graph import tables
from binarize.exporting.passes.compress_tables import MASK, TABLE, compress
from binarize.layers import binary_weights
from binarize.layers.block import RPReLU, Shortcut
from binarize.packing import packed_bytes
from binarize.rewrite import Trace
from binarize.rewrite.inventory import KINDS, argument, function_name
from binarize.runtime import NATIVE, FileInfo

TOLERANCE = 0.02
"""How much of the file's size a prediction may be off by …"""
TOLERANCE_BYTES = 64_000
"""… or that many bytes, if they are more."""
FLOAT32 = 4
COMPRESSED = {torch.int64, torch.int32, torch.float32, torch.bool}
"""Types of buffers that may be stored smaller."""
MASKED, INDEX_BYTES = "mask", 2
"""What is in the name of a mask, and what an index takes: for tensors without values."""

PROPERTIES = 900
"""Metadata of a converted run, where it is not known yet."""
FILE_BYTES = {FLOAT: 100, DEFAULT_FORM: 2500, "inline": 100, "int8": 100, NATIVE: 100}
"""Form -> bytes of a file's header and functions."""
LAYER_BYTES = {FLOAT: 0, DEFAULT_FORM: 120, "inline": 220, "int8": 390, NATIVE: 80}
"""Form -> bytes of the nodes of a binary layer, with the heads of its tensors."""
INPUT_BYTES, ADDED_BYTES, CALL_BYTES, TENSOR_BYTES = 100, 265, 30, 30
"""The same of a binary input, of an addition of block surgery, of any function in the trace, and of a
float tensor."""
VECTORS_BYTES = 170
"""Of the nodes that make zeros and ones of one length, for the norms that stay."""
LAYER_NAMES, TENSOR_NAMES = 7, 2
"""How often the name of a binary weight or a float tensor is written."""


def packed_size(
    model: nn.Module,
    trace: Trace,
    info: FileInfo | None = None,
    last: Classifier | None = None,
) -> int:
    """Predicted bytes of the file that `export` writes for `model`.

    Args:
        model: converted, or a float one; its tensors need no values.
        trace: of its float form: before conversion, or with binarization off.
        info: the file's metadata, where it is known already: its form counts, and what it says.
        last: the classifier, where it is stored smaller.
    """
    binary = _binary_weights(model, trace, last)
    floats = _float_tensors(model, trace, binary)
    form = info.form if info is not None else DEFAULT_FORM if binary else FLOAT
    properties = info.to_properties().items() if info is not None else ()
    allowance = FILE_BYTES[form] + (sum(len(k) + len(v) for k, v in properties) or PROPERTIES)
    for key, weight in binary.items():
        allowance += LAYER_BYTES[form] + LAYER_NAMES * len(key)
        allowance += INPUT_BYTES if weight.splits else 0
    allowance += sum(TENSOR_BYTES + TENSOR_NAMES * len(key) for key in floats)
    allowance += ADDED_BYTES * sum(isinstance(m, (RPReLU, Shortcut)) for m in model.modules())
    allowance += VECTORS_BYTES * len(_norm_lengths(trace.graph))
    allowance += CALL_BYTES * sum(node.op == "call_function" for node in trace.graph.nodes)
    return payload(model, trace, last) + allowance


def weight_bytes(weights: int, filters: int, bases: int) -> int:
    """Bytes of so many weights: bits and scales of every base; float where there is none."""
    if bases == 0:
        return FLOAT32 * weights
    return packed_bytes(bases * weights) + FLOAT32 * bases * filters


def is_close(predicted: int, size: int) -> bool:
    """Whether the prediction is within 2 % of the file's size or 64 kB, whichever is larger."""
    return abs(predicted - size) <= max(TOLERANCE * size, TOLERANCE_BYTES)


def payload(model: nn.Module, trace: Trace, last: Classifier | None = None) -> int:
    """Bytes of the tensors in the file."""
    binary = _binary_weights(model, trace, last)
    total = sum(weight.bytes for weight in binary.values())
    total += sum(_float_tensors(model, trace, binary).values())
    total += sum(_bytes(value) for value in _added(model))
    for small in last.stored.values() if last else ():
        total += small.elements.nbytes - FLOAT32 * small.elements.size
        total += small.scale.nbytes if small.scale is not None else 0
    return total


@dataclass(frozen=True)
class _BinaryWeight:
    """What a binary weight is stored as.

    Attributes:
        weights, filters: how many.
        splits: shifts or thresholds of its input.
        folded: state_dict keys of what goes into the scale and bias of its filters.
        bases: how often there are bits and scales.
    """

    weights: int
    filters: int
    splits: int
    folded: frozenset[str]
    bases: int

    @property
    def bytes(self) -> int:
        floats = self.filters + self.splits
        return weight_bytes(self.weights, self.filters, self.bases) + FLOAT32 * floats


def _binary_weights(
    model: nn.Module, trace: Trace, last: Classifier | None
) -> dict[str, _BinaryWeight]:
    """By the state_dict key that the trace knows them by."""
    paths = {module: name for name, module in model.named_modules()}
    found = {}
    for _, module, parameter, binarizer in binary_weights(model):
        splits = binarizer.inputs.boundary.numel() if binarizer.inputs is not None else 0
        found[_key(paths[module], parameter)] = _binary_weight(
            module, paths[module], parameter, splits, binarizer.bases
        )
    if last is not None and last.frozen:
        path, _, parameter = last.key.rpartition(".")
        found[last.key] = _binary_weight(model.get_submodule(path), path, parameter, 0)
    return {names[0]: found[names[0]] for names in trace.names.values() if names[0] in found}


def _binary_weight(
    module: nn.Module, path: str, parameter: str, splits: int, bases: int = 1
) -> _BinaryWeight:
    own = dict(module.named_parameters(recurse=False))
    weights = own.pop(parameter)
    filters = filters_of(module, weights)
    folded = {_key(path, name) for name, value in own.items() if value.numel() == filters}
    return _BinaryWeight(weights.numel(), filters, splits, frozenset(folded), bases)


def filters_of(module: nn.Module, weights: Tensor) -> int:
    """How many output channels `weights` of `module` have: as many as there are scales."""
    shape = getattr(module, "weight_shape", weights.shape)  # of each of the experts that are mixed
    return weights.numel() // math.prod(shape[1:])


def _key(path: str, parameter: str) -> str:
    return f"{path}.{parameter}" if path else parameter


def _float_tensors(
    model: nn.Module, trace: Trace, binary: Mapping[str, _BinaryWeight]
) -> dict[str, int]:
    """State_dict key -> bytes of what is stored as it is; equal index tables are stored once."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    gone = set(binary).union(*(weight.folded for weight in binary.values()))
    biases = {}
    for norm in _norms(trace.graph):
        gone.update(_statistics(norm))
    for norm, convolution in _folded_norms(trace.graph):
        gone.update(_parameters(norm))
        weight, *bias = _parameters(convolution) or [""]
        if weight not in binary and not bias:
            biases[f"{weight}_bias"] = FLOAT32 * convolution.meta["shape"][1]
    found, known, seen = {}, set(tables(model)), set()
    for node in trace.graph.find_nodes(op="get_attr"):
        tensor = tensors.get(node.target)
        if tensor is None or node.target in gone or not _is_read(node):
            continue
        table = _table(node.target, tensor) if node.target in known else None
        found[node.target] = 0 if table in seen else _stored_bytes(node.target, tensor)
        seen.update([table] if table else [])
    return found | biases


def _table(name: str, tensor: Tensor) -> object:
    """What equal tables have in common; without values, those of one name and one shape are taken for
    equal."""
    if _has_values(tensor):
        elements = tensor.detach().cpu().reshape(-1).view(torch.uint8)
        return tensor.dtype, tensor.shape, elements.numpy().tobytes()
    return tensor.dtype, tensor.shape, name.rpartition(".")[2]


def _has_values(tensor: Tensor) -> bool:
    return not isinstance(tensor, FakeTensor) and not tensor.is_meta


def _stored_bytes(name: str, tensor: Tensor) -> int:
    """Of a tensor as `passes.compress_tables` stores it. Without values, indices take two bytes, and what is
    called a mask is one."""
    if isinstance(tensor, nn.Parameter) or tensor.dtype not in COMPRESSED:
        return _bytes(tensor)
    if _has_values(tensor):
        elements = tensor.detach().cpu().numpy()
        stored = compress(elements)
        return (elements if stored is None else stored).nbytes
    if MASKED in name and tensor.numel() >= MASK:
        return packed_bytes(tensor.numel())
    if tensor.dtype != torch.float32 and tensor.numel() >= TABLE:
        return tensor.numel() * min(tensor.element_size(), INDEX_BYTES)
    return _bytes(tensor)


def _norms(graph: fx.Graph) -> Iterator[fx.Node]:
    return (node for node in graph.nodes if function_name(node) == "batch_norm")


def _folded_norms(graph: fx.Graph) -> Iterator[tuple[fx.Node, fx.Node]]:
    """(batch norm, convolution before it that nothing else reads)."""
    for node in _norms(graph):
        before = argument(node, 0, "input")
        if not isinstance(before, fx.Node):
            continue
        if function_name(before) in KINDS and len(before.users) == 1:
            yield node, before


def _statistics(norm: fx.Node) -> list[str]:
    """State_dict keys of the mean and variance of a norm with a gain and a shift, which take them in."""
    vectors = [argument(norm, 3, "weight"), argument(norm, 4, "bias")]
    if None in vectors:
        return []
    means = [argument(norm, 1, "running_mean"), argument(norm, 2, "running_var")]
    return [str(one.target) for one in means if isinstance(one, fx.Node) and one.op == "get_attr"]


def _norm_lengths(graph: fx.Graph) -> set[int]:
    """Channels of the norms that stay."""
    folded = {norm for norm, _ in _folded_norms(graph)}
    return {norm.meta["shape"][1] for norm in _norms(graph) if norm not in folded}


def _parameters(node: fx.Node) -> list[str]:
    """State_dict keys of what `node` reads by itself."""
    return [str(one.target) for one in node.all_input_nodes if one.op == "get_attr"]


def _is_read(node: fx.Node) -> bool:
    return any(user.op != "output" for user in node.users)


def _added(model: nn.Module) -> Iterator[Tensor]:
    """Parameters of block surgery, which the trace of the float form does not have."""
    for module in model.modules():
        if isinstance(module, RPReLU):
            yield from module.parameters()


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
