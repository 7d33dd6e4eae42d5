"""A binary op, the binary input before it and the scale behind it become one op."""

from __future__ import annotations

import dataclasses
from typing import TypeGuard

import numpy as np
import onnx_ir as ir

from binarize.errors import ExportError
from binarize.exporting.functions import DOMAIN, FUNCTION_OPS, OPS, VERSION
from binarize.exporting.passes.graph import (
    constant,
    drop_unread,
    input_of,
    name_of,
    only_user,
    replace,
    unique_name,
)
from binarize.layers import layer_name

SCALE = "Scale"
MARKERS = {SCALE, *(op.binary for op in OPS.values() if op.binary)}
BOUNDARY = "_binarizer.boundary"


class FuseInputs(ir.passes.InPlacePass):
    """Sign(x, boundary) -> [Pad] -> BinaryConv(·, bits, 1, 0) -> Scale(·, s, b)
    becomes SignBinaryConv(x, bits, s, b, boundary), and so on for Step and BinaryLinear.

    Sign, Step and Scale are the markers of a `layers.FrozenProduct`; the op between them multiplies by ±1.

    1. A Pad with zeros of the images alone, which is what "same" padding leaves, goes into `pads`.
    2. The Scale is the only reader of the sum; a marker before it may have several readers.
    3. s, b and boundary are called LAYER.scale, LAYER.bias and LAYER.shift or LAYER.threshold, unless b is a
       parameter of the model's own.
    4. A marker that is left raises ExportError, naming the layer: no runtime knows what it means.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        if not any(_is_marker(node) for node in graph):
            return ir.passes.PassResult(model, False)
        fused = [new for node in tuple(graph) if (new := _fuse(node)) is not None]
        _drop_unused(graph)
        _refuse_markers(graph)
        for node in fused:
            _name_constants(graph, node)
        return ir.passes.PassResult(model, True)


def _is_marker(node: ir.Node | None) -> TypeGuard[ir.Node]:
    return node is not None and node.domain == DOMAIN and node.op_type in MARKERS


def _fuse(node: ir.Node) -> ir.Node | None:
    """The op that took the place of `node` and of what is around it; None where nothing is."""
    plain = FUNCTION_OPS.get(node.op_type) if node.domain == DOMAIN else None
    if plain is None or plain.binary:
        return None
    pad, marker = _before(node)
    scale = only_user(node.outputs[0])
    if marker is None or not _is_marker(scale) or scale.op_type != SCALE:
        return None
    pads = _image_pads(pad, len(node.attributes.get_ints("pads", [])) // 2) if pad else []
    if pads is None:
        return None
    op = dataclasses.replace(plain, binary=marker.op_type)
    inputs = [marker.inputs[0], node.inputs[1], *scale.inputs[1:3], marker.inputs[1]]
    attributes = {name: one.value for name, one in node.attributes.items()}
    if pads:
        attributes["pads"] = [a + b for a, b in zip(attributes["pads"], pads, strict=True)]
    new = ir.node(
        op.name, inputs, attributes, domain=DOMAIN, version=VERSION, name=node.name, num_outputs=1
    )
    replace(scale, new)
    return new


def _before(node: ir.Node) -> tuple[ir.Node | None, ir.Node | None]:
    """(Pad, marker) that made the op's input, each None where it is not there."""
    producer = input_of(node, 0).producer()
    pad = producer if producer is not None and producer.op_type == "Pad" else None
    marker = input_of(pad, 0).producer() if pad is not None else producer
    binary = _is_marker(marker) and marker.op_type != SCALE
    return pad, marker if binary else None


def _image_pads(pad: ir.Node, axes: int) -> list[int] | None:
    """What a Pad adds around images of so many axes, as `pads` of a convolution; None where it does
    something else."""
    pads, value, along = (constant(one) for one in (*pad.inputs[1:4], None, None, None)[:3])
    is_zero = (
        len(pad.inputs) < 3 or pad.inputs[2] is None or (value is not None and not value.any())
    )
    mode = pad.attributes.get_string("mode", "constant")
    if axes == 0 or pads is None or not is_zero or mode != "constant":
        return None
    whole = np.zeros((2, axes + 2), np.int64)
    places = np.arange(axes + 2) if along is None else along
    whole[:, places] = pads.reshape(2, -1)
    if whole[:, :2].any() or (whole < 0).any():
        return None
    return whole[:, 2:].reshape(-1).tolist()


def _drop_unused(graph: ir.Graph) -> None:
    """What was fused, and the constants that only it read."""
    for node in reversed(tuple(graph)):
        own = node.domain == DOMAIN or node.op_type == "Pad"
        if own and not any(value.uses() or value.is_graph_output() for value in node.outputs):
            graph.remove(node, safe=True)
    drop_unread(graph)


def _refuse_markers(graph: ir.Graph) -> None:
    left = [node for node in graph if _is_marker(node)]
    if not left:
        return
    names = [name_of(value) for node in left for value in node.inputs if value is not None]
    key = next((name for name in names if name.endswith(BOUNDARY)), names[-1])
    parameter = key.removesuffix(BOUNDARY)
    raise ExportError(
        f'layer "{layer_name(*parameter.rpartition(".")[::2])}" uses its binary input in a way that '
        "cannot be packed",
        "leave it float: binarize convert … --keep, with its name",
    )


def _name_constants(graph: ir.Graph, node: ir.Node) -> None:
    """Call what the markers held by the names that constants of binarize ops have."""
    parts = dict(zip(FUNCTION_OPS[node.op_type].inputs[2:], node.inputs[2:], strict=True))
    for part, value in parts.items():
        if value is not None and value.is_initializer() and "_binarizer." in name_of(value):
            graph.initializers.pop(name_of(value))
            value.name = unique_name(graph, f"{node.name}.{part}")
            graph.initializers.add(value)
