"""Layers whose kernels pay off with wide vectors alone move to a domain that only such CPUs register."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir

from binarize.exporting.functions import DOMAIN, FUNCTION_OPS, WIDE, Op

LEAST_CHANNELS = 32
"""Of a window of several pixels with float inputs: its tables serve all taps."""
LEAST_POINT_CHANNELS, LEAST_POINT_OUTPUTS = 64, 256
"""Of a 1 x 1 convolution with float inputs: its tables serve one pixel, and pay off with many outputs."""
LEAST_BINARY_CHANNELS = 33
"""Of a 1 x 1 convolution with binary inputs: a word holds 32 of them."""


class ChooseDomain(ir.passes.InPlacePass):
    """binarize.OP(x, …)  becomes  binarize.wide.OP(x, …)  where `pays_off` says no.

    1. The op, its inputs and its name stay: only who computes it changes. On a CPU whose vectors are not wide
       that is onnxruntime, which inlines the function before it chooses the layout of its convolutions.
    2. Native files have no functions, so their ops stay in `binarize`.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        moved = [node for node in model.graph if _loses(node)]
        for node in moved:
            node.domain = WIDE
        return ir.passes.PassResult(model, bool(moved))


def _loses(node: ir.Node) -> bool:
    op = FUNCTION_OPS.get(node.op_type) if node.domain == DOMAIN else None
    return op is not None and not pays_off(op, node.attributes.get_ints("shape"))


def pays_off(op: Op, shape: Sequence[int]) -> bool:
    """Whether kernels are faster than onnxruntime's float32 for a weight of that shape on every CPU with
    AVX2, in a network: a neighbour that onnxruntime computes passes on its own layout and fuses its own
    activations (decision 26)."""
    outputs, channels, *window = shape
    if op.product == "Linear":
        return True
    if math.prod(window) > 1:
        return bool(op.binary) or channels >= LEAST_CHANNELS
    if op.binary:
        return channels >= LEAST_BINARY_CHANNELS
    return channels >= LEAST_POINT_CHANNELS and outputs >= LEAST_POINT_OUTPUTS
