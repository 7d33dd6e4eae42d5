"""A network's float beginning becomes one op, which the binarize kernels compute in half the time."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from binarize.exporting.functions import DOMAIN, STEM, STEM_CHANNELS, VERSION
from binarize.exporting.passes.graph import (
    add_constant,
    constant,
    elements_of,
    input_of,
    name_of,
    only_user,
    replace,
)

CONVOLUTION = {"strides": [2, 2], "pads": [3, 3, 3, 3], "dilations": [1, 1], "group": 1}
POOLING = {
    "kernel_shape": [3, 3],
    "strides": [2, 2],
    "pads": [1, 1, 1, 1],
    "dilations": [1, 1],
    "ceil_mode": 0,
    "storage_order": 0,
}
UNLESS_SAID = {"dilations": [1, 1], "group": 1, "ceil_mode": 0, "storage_order": 0}


class FuseStem(ir.passes.InPlacePass):
    """Conv(x, w[, b]) -> Relu -> MaxPool becomes Stem(x, w, b), named as the convolution is.

    1. w is a float32 constant [O, C, 7, 7], C up to 4; stride 2, padding 3; the pooling is 3 x 3 with
       stride 2 and padding 1: the stem of ResNets. Every other one stays as it is.
    2. Nobody else reads what is between the three.
    3. Where there is no bias, one of zeros is written: the op always has one.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        found = False
        for pool in tuple(model.graph):
            convolution = _convolution_of(pool)
            if convolution is not None:
                _fuse(model.graph, convolution, pool)
                found = True
        return ir.passes.PassResult(model, found)


def _convolution_of(pool: ir.Node) -> ir.Node | None:
    """The convolution of the stem that ends with `pool`, if it does end one."""
    if (
        pool.op_type != "MaxPool"
        or not _is(pool, POOLING)
        or any(o.uses() for o in pool.outputs[1:])
    ):
        return None
    relu = _before(pool, "Relu")
    convolution = relu and _before(relu, "Conv")
    if convolution is None or not _is(convolution, CONVOLUTION):
        return None
    weight, bias = constant(convolution.inputs[1]), _bias(convolution)
    if weight is None or weight.dtype != np.float32 or weight.shape[2:] != (7, 7):
        return None
    if weight.shape[1] > STEM_CHANNELS or (bias is not None and constant(bias) is None):
        return None
    return convolution


def _before(node: ir.Node, op: str) -> ir.Node | None:
    """What makes the input of `node`, if that is such an op and only `node` reads it."""
    made = input_of(node, 0).producer()
    return made if made is not None and made.op_type == op and only_user(made.outputs[0]) else None


def _is(node: ir.Node, expected: dict[str, object]) -> bool:
    if node.domain or node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        return False
    given = UNLESS_SAID | {name: one.value for name, one in node.attributes.items()}
    return all(_plain(given.get(name)) == value for name, value in expected.items())


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int) else list(value)


def _bias(convolution: ir.Node) -> ir.Value | None:
    return convolution.inputs[2] if len(convolution.inputs) > 2 else None


def _fuse(graph: ir.Graph, convolution: ir.Node, pool: ir.Node) -> None:
    image, weight, name = convolution.inputs[0], input_of(convolution, 1), convolution.name
    bias = _bias(convolution)
    if bias is None:
        zeros = np.zeros(elements_of(weight).shape[0], np.float32)
        bias = add_constant(graph, f"{name_of(weight).removesuffix('.weight')}.bias", zeros)
    relu = input_of(pool, 0).producer()
    assert relu is not None
    new = ir.node(STEM, [image, weight, bias], domain=DOMAIN, version=VERSION, num_outputs=1)
    replace(pool, new)
    new.name = name
    for node in (relu, convolution):
        graph.remove(node, safe=True)
