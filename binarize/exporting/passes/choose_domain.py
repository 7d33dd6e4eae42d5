"""Layers whose kernels pay off with wide vectors alone move to a domain that only such CPUs register."""

from __future__ import annotations

import math

import onnx_ir as ir

from binarize.exporting.functions import DOMAIN, FUNCTION_OPS, WIDE, Op
from binarize.exporting.passes.graph import input_of

LEAST_CHANNELS = 32
"""Of a window of several pixels with float inputs: its tables serve all taps."""
LEAST_POINT_CHANNELS, LEAST_POINT_OUTPUTS = 128, 256
"""Of a 1 x 1 convolution with float inputs: its tables serve one pixel, and pay off with many outputs."""


class ChooseDomain(ir.passes.InPlacePass):
    """binarize.OP(x, …)  becomes  binarize.wide.OP(x, …)  where `pays_off` says no.

    1. The op, its inputs and its name stay: only who computes it changes. On a CPU whose vectors are not wide
       that is onnxruntime, which inlines the function before it chooses the layout of its convolutions.
    2. Nodes are decided in the order of the graph: who computes x matters.
    3. Native files have no functions, so their ops stay in `binarize`.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for node in model.graph:
            op = FUNCTION_OPS.get(node.op_type) if node.domain == DOMAIN else None
            if op is not None and not pays_off(node, op):
                node.domain, changed = WIDE, True
        return ir.passes.PassResult(model, changed)


def pays_off(node: ir.Node, op: Op) -> bool:
    """Whether kernels are faster than onnxruntime's float32 for this layer on every CPU with AVX2 (decision
    26).

    With binary inputs they are: the function has to compare, scale and move beside the product. With float
    inputs tables have to serve enough outputs; and a 1 x 1 convolution between those of onnxruntime, as in
    mobile networks, loses more by turning their layout round than it gains.
    """
    outputs, channels, *window = node.attributes.get_ints("shape")
    if op.binary or op.product == "Linear":
        return True
    if math.prod(window) > 1:
        return channels >= LEAST_CHANNELS
    maker = input_of(node, 0).producer()
    beside_kernels = maker is not None and maker.domain == DOMAIN
    return beside_kernels and channels >= LEAST_POINT_CHANNELS and outputs >= LEAST_POINT_OUTPUTS
