"""The ops of domain `binarize` as model-local functions: their meaning in standard ONNX ops.

Stock onnxruntime inlines the function and folds the unpacking away when the session is made, so that
inference costs what float costs. A runtime that has a kernel of the op's name uses that instead. What
the ops mean is written in docs/op-spec.md; a change of meaning is a new version of the domain.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx.parser
import onnx_ir as ir

DOMAIN = "binarize"
VERSION = 1

# Row b holds the eight signs of byte b, least significant bit first: `binarize.packing`.
_TABLE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")

# uint8[ceil(numel / 8)] -> bool[shape]; the bits that fill up the last byte are cut off. Signs take
# their shape, and a linear layer's are turned round, while they are one byte each and not yet floats:
# what a session costs to make is the memory that this chain touches.
_UNPACK = f"""
  table = Constant <value = bool[256, 8] {{{", ".join(map(str, _TABLE.reshape(-1)))}}}> ()
  index = Cast <to = {onnx.TensorProto.INT32}> (bits)
  octets = Gather <axis = 0> (table, index)
  flat = Constant <value = int64[1] {{-1}}> ()
  filled = Reshape (octets, flat)
  shape = Constant <value_ints: ints = @shape> ()
  zero = Constant <value = int64[1] {{0}}> ()
  count = ReduceProd <keepdims = 1> (shape)
  positive = Slice (filled, zero, count)
  signs = Reshape (positive, shape)
"""

_CONVOLUTION = """
  one = Constant <value = int64 {1}> ()
  rank = Size (shape)
  axes = Range (one, rank, one)
  plus = Unsqueeze (scale, axes)
  minus = Neg (plus)
  weight = Where (signs, plus, minus)
  y = Conv <strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations,
            group: int = @group> (x, weight, bias)
"""

_LINEAR = """
  columns = Transpose <perm = [1, 0]> (signs)
  minus = Neg (scale)
  weight = Where (columns, scale, minus)
  product = MatMul (x, weight)
  y = Add (product, bias)
"""

_OPS = {
    "BinaryConv": ("shape, strides, pads, dilations, group", _UNPACK + _CONVOLUTION),
    "BinaryLinear": ("shape", _UNPACK + _LINEAR),
}
OPS = tuple(_OPS)


def function(op: str, opset: int) -> ir.Function:
    """The body of `op` in standard ops at that opset."""
    attributes, body = _OPS[op]
    text = f"""
<domain: "{DOMAIN}", opset_import: ["" : {opset}]>
{op} <{attributes}> (x, bits, scale, bias) => (y) {{{body}}}
"""
    return ir.from_proto(onnx.parser.parse_function(text))


def append_functions(model: ir.Model) -> None:
    """Give `model` the function of every op of ours that it uses, at its own opset, and the import."""
    for op in sorted(used_ops(model.graph)):
        body = function(op, model.opset_imports[""])
        model.functions[body.identifier()] = body
        model.opset_imports[DOMAIN] = VERSION


def used_ops(nodes: Iterable[ir.Node]) -> set[str]:
    """The names of the ops of our domain among `nodes`."""
    return {node.op_type for node in nodes if node.domain == DOMAIN}
