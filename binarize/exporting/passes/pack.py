"""Nodes that multiply by a frozen weight become ops of domain `binarize`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from binarize.errors import ExportError
from binarize.exporting.functions import DOMAIN, VERSION, Op
from binarize.exporting.passes.graph import (
    add_constant,
    constant,
    graph_of,
    input_of,
    name_of,
    only_user,
    replace,
)
from binarize.layers import FrozenWeight, layer_name
from binarize.packing import pack_bits


class PackWeights(ir.passes.InPlacePass):
    """Store every frozen weight that is a graph input as bits and scales.

    With W a graph input that `MarkAsInput` made, of shape [O, ...]:

    1. Conv(x, W[, b]) -> BinaryConv(x, bits, scale, b), or BinaryBasesConv where W is the sum of several
       bases (and so in what follows); `auto_pad` becomes explicit `pads`.
    2. Gemm(x, W, b) with transB = 1 and alpha = beta = 1 -> BinaryLinear(x, bits, scale, b).
    3. MatMul(x, Transpose(W)) -> BinaryLinear; an Add of a constant [O] that alone reads the result
       becomes its bias.
    4. Where there is no bias, a bias of zeros is written: the op always has one.
    5. A weight that several nodes read is stored once.
    6. Where the layer's input is binary too, W is ±1 and the scales are ones: `FuseInputs` has the others.
    7. W is no graph input any more. Any other use of it raises ExportError, naming the layer: a weight
       reported as binary is never written as float.
    """

    def __init__(self, frozen: Mapping[str, FrozenWeight]) -> None:
        super().__init__()
        self.frozen = frozen

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        marked = [value for value in model.graph.inputs if value.name in self.frozen]
        for value in marked:
            weight = _Weight(model.graph, name_of(value), self.frozen[name_of(value)])
            for node, index in tuple(value.uses()):
                weight.pack(node, index)
            _unseal(model.graph, value)
        return ir.passes.PassResult(model, bool(marked))


@dataclass
class _Weight:
    """One frozen weight and, once a node wants them, its bits and scales as initializers."""

    graph: ir.Graph
    key: str
    frozen: FrozenWeight
    _stored: tuple[ir.Value, ir.Value] | None = None

    @property
    def layer(self) -> str:
        return layer_name(*self.key.rpartition(".")[::2])

    @property
    def shape(self) -> list[int]:
        return list(self.frozen.shape)

    def pack(self, node: ir.Node, index: int) -> None:
        """Rewrite one reader of the weight, or what reads the transposed weight; leave others."""
        if node.op_type == "Conv" and index == 1:
            self._emit("Conv", node, _bias(node), _convolution(node, self.shape))
        elif node.op_type == "Gemm" and index == 1 and _is_linear(node):
            self._emit("Linear", node, _bias(node), {})
        elif node.op_type == "Transpose" and len(self.shape) == 2:
            for reader, position in tuple(node.outputs[0].uses()):
                if reader.op_type == "MatMul" and position == 1:
                    self._emit_matmul(reader)

    def _emit_matmul(self, matmul: ir.Node) -> None:
        add = only_user(matmul.outputs[0])
        bias = _added_bias(add, matmul, self.shape[0])
        if add is None or bias is None:
            self._emit("Linear", matmul, None, {})
        else:
            self._emit("Linear", add, bias, {}, matmul.inputs[0])
            graph_of(matmul).remove(matmul, safe=True)

    def _emit(
        self,
        product: str,
        node: ir.Node,
        bias: ir.Value | None,
        attributes: dict[str, Any],
        x: ir.Value | None = None,
    ) -> None:
        if bias is None:
            zeros = np.zeros(self.shape[0], np.float32)
            bias = add_constant(self.graph, f"{self.layer}.bias", zeros)
        inputs = [x or node.inputs[0], *self._initializers(), bias]
        attributes = {"shape": self.shape, **attributes}
        op = Op("", product, several=self.frozen.bases > 1).name
        new = ir.node(
            op, inputs, attributes, domain=DOMAIN, version=VERSION, name=self.layer, num_outputs=1
        )
        replace(node, new)

    def _initializers(self) -> tuple[ir.Value, ir.Value]:
        if self._stored is None:
            bits = pack_bits(self.frozen.positive.numpy())
            scale = self.frozen.scale.float().numpy()
            if self.frozen.inputs is not None:
                scale = np.ones_like(scale)
            self._stored = (
                add_constant(self.graph, f"{self.layer}.bits", bits),
                add_constant(self.graph, f"{self.layer}.scale", scale),
            )
        return self._stored


def _unseal(graph: ir.Graph, value: ir.Value) -> None:
    for node, _ in tuple(value.uses()):
        if any(output.uses() or output.is_graph_output() for output in node.outputs):
            raise ExportError(
                f'layer "{layer_name(*name_of(value).rpartition(".")[::2])}" uses its binary weight in a way '
                f"that cannot be packed ({node.op_type})",
                "leave it float: binarize convert … --keep, with its name",
            )
        graph.remove(node, safe=True)
    graph.inputs.remove(value)


def _bias(node: ir.Node) -> ir.Value | None:
    return node.inputs[2] if len(node.inputs) > 2 else None


def _is_linear(gemm: ir.Node) -> bool:
    """x · Wᵀ + b with b [O], as nn.Linear computes it."""
    attributes = gemm.attributes
    plain = attributes.get_float("alpha", 1.0) == attributes.get_float("beta", 1.0) == 1.0
    turned = attributes.get_int("transB", 0) == 1 and attributes.get_int("transA", 0) == 0
    bias = _bias(gemm)
    return plain and turned and (bias is None or bias.shape is None or len(bias.shape) == 1)


def _added_bias(add: ir.Node | None, matmul: ir.Node, outputs: int) -> ir.Value | None:
    """The constant [O] that `add` adds to the product, if that is what it does."""
    if add is None or add.op_type != "Add":
        return None
    other = next((v for v in add.inputs if v is not matmul.outputs[0]), None)
    elements = constant(other)
    return other if elements is not None and elements.shape == (outputs,) else None


def _convolution(node: ir.Node, shape: list[int]) -> dict[str, Any]:
    attributes = node.attributes
    axes = len(shape) - 2
    strides = list(attributes.get_ints("strides", [1] * axes))
    dilations = list(attributes.get_ints("dilations", [1] * axes))
    pads = list(attributes.get_ints("pads", [0] * 2 * axes))
    auto = attributes.get_string("auto_pad", "NOTSET")
    if auto == "VALID":
        pads = [0] * 2 * axes
    elif auto != "NOTSET":
        pads = _same_pads(input_of(node, 0).shape, shape[2:], strides, dilations, auto)
    return {
        "strides": strides,
        "pads": pads,
        "dilations": dilations,
        "group": attributes.get_int("group", 1),
    }


def _same_pads(
    image: ir.Shape | None, kernel: list[int], strides: list[int], dilations: list[int], auto: str
) -> list[int]:
    """The pads that SAME_UPPER or SAME_LOWER means for images of that shape: ceil(size / stride) out."""
    given = list(image)[2:] if image is not None else []
    sizes = [size for size in given if isinstance(size, int)]
    if not len(sizes) == len(given) == len(kernel):
        raise ExportError(
            f"a convolution with auto_pad={auto} has images of no fixed size",
            "give the convolution explicit padding",
        )
    before, after = [], []
    for size, width, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        total = max((-(-size // stride) - 1) * stride + (width - 1) * dilation + 1 - size, 0)
        small, large = total // 2, total - total // 2
        before.append(small if auto == "SAME_UPPER" else large)
        after.append(large if auto == "SAME_UPPER" else small)
    return before + after
