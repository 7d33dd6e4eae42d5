"""What layers take in a file of a form: the form itself writes them, without a network around them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from binarize.export.forms.table import FORMS
from binarize.export.functions import DOMAIN, OPS, VERSION
from binarize.export.passes.graph import add_constant
from binarize.packing import packed_bytes

NAME = "value{:06d}"
RESIDUAL = "residual{:03d}"
"""As long as the names of values between nodes usually are."""


@dataclass(frozen=True)
class LayerStored:
    """A binary layer, as far as its size goes.

    Attributes:
        name, op: of its node.
        shape: of its weight.
        split: shape of the shift or threshold; empty for a float input.
    """

    name: str
    op: str
    shape: list[int]
    split: list[int]


def stored_bytes(form: str, layers: list[LayerStored]) -> int:
    """Bytes of nodes and constants of these layers in that form."""
    graph = ir.Graph([], [], nodes=[], opset_imports={"": 20, DOMAIN: VERSION})
    model = ir.Model(graph, ir_version=10)
    for number, layer in enumerate(layers):
        _add(graph, layer, number)
    FORMS[form].apply(model, {layer.name: (-1.0, 1.0) for layer in layers})
    graph.outputs.clear()
    proto = ir.to_proto(model)
    del proto.graph.value_info[:], proto.graph.input[:]
    return proto.ByteSize()


def _add(graph: ir.Graph, layer: LayerStored, number: int) -> None:
    x = ir.val(NAME.format(2 * number))
    residual = [ir.val(RESIDUAL.format(number))] if "Add" in OPS[layer.op].ending else []
    graph.inputs.extend([x, *residual])
    outputs = layer.shape[0]
    constants = {
        "bits": np.zeros(packed_bytes(math.prod(layer.shape)), np.uint8),
        "scale": np.zeros(outputs, np.float32),
        "bias": np.zeros(outputs, np.float32),
    }
    op = OPS[layer.op]
    if op.binary:
        constants[op.inputs[4]] = np.zeros(layer.split, np.float32)
    values = [add_constant(graph, f"{layer.name}.{part}", of) for part, of in constants.items()]
    axes = len(layer.shape) - 2
    attributes = {"shape": layer.shape}
    if op.product == "Conv":
        ones = [1] * axes
        attributes |= {"strides": ones, "pads": ones * 2, "dilations": ones, "group": 1}
    node = ir.node(layer.op, [x, *values, *residual], attributes, domain=DOMAIN, name=layer.name)
    node.outputs[0].name = NAME.format(2 * number + 1)
    graph.append(node)
    graph.outputs.append(node.outputs[0])
