"""The ops of domain `binarize` as model-local functions: their meaning in standard ONNX ops.

Stock onnxruntime inlines the function and folds the unpacking away when the session is made, so that
inference costs what float costs. A runtime that has a kernel of the op's name uses that instead. What
the ops mean is written in docs/op-spec.md; a change of meaning is a new version of the domain.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx.parser
import onnx_ir as ir

from binarize.layers.activation import SLOPE
from binarize.runtime.session import DOMAIN, DOMAINS, WIDE

VERSION = 1

# Row b holds the eight signs of byte b, least significant bit first: `binarize.packing`.
_TABLE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")

# uint8[ceil(numel / 8)] -> bool[shape]. Signs take their shape, and a linear layer's are turned round, while
# they are one byte each and not yet floats: what a session costs to make is the memory that this chain
# touches (benchmarks/session_creation.py).
_OCTETS = f"""
  table = Constant <value = bool[256, 8] {{{", ".join(map(str, _TABLE.reshape(-1)))}}}> ()
  index = Cast <to = {onnx.TensorProto.INT32}> (bits)
  octets = Gather <axis = 0> (table, index)
  shape = Constant <value_ints: ints = @shape> ()
"""
# Where every weight of the file fills its last byte, nothing has to be cut off.
_WHOLE = "  signs = Reshape (octets, {shape})\n"
_CUT = """
  flat = Constant <value = int64[1] {{-1}}> ()
  filled = Reshape (octets, flat)
  zero = Constant <value = int64[1] {{0}}> ()
  count = ReduceProd <keepdims = 1> ({shape})
  positive = Slice (filled, zero, count)
  signs = Reshape (positive, {shape})
"""

# What happens to x, as the part of an op's name that says so. In the smooth surrogate the threshold is a
# slope, as in `InputBinarizer.smooth`. `moved` is the shift, ready to be added to x.
_BINARY = {
    "Sign": """
  sum = Add (x, moved)
  nought = Constant <value = float {0.0}> ()
  above = GreaterOrEqual (sum, nought)
  b = Where (above, plus, minus)
""",
    "Step": """
  nought = Constant <value = float {0.0}> ()
  above = GreaterOrEqual (x, threshold)
  b = Where (above, plus, nought)
""",
}
_SLOPE = f"  slope = Constant <value = float {{{SLOPE}}}> ()\n"
_SMOOTH = {
    "Sign": f"""
  sum = Add (x, moved)
{_SLOPE}  sloped = Mul (sum, slope)
  b = Clip (sloped, minus, plus)
""",
    "Step": f"""
  nought = Constant <value = float {{0.0}}> ()
  half = Constant <value = float {{0.5}}> ()
  above = Sub (x, threshold)
{_SLOPE}  sloped = Mul (above, slope)
  centred = Add (sloped, half)
  b = Clip (centred, nought, plus)
""",
}
_BOUNDARY = {"Sign": "shift", "Step": "threshold"}

_AROUND = """strides: ints = @strides, pads: ints = @pads,
            dilations: ints = @dilations, group: int = @group"""
_CONVOLVE = f"Conv <{_AROUND}>"

# Scales of one value per output, in the weight: x is used as it is.
_FLOAT = {
    "Conv": f"""
  one = Constant <value = int64 {{1}}> ()
  rank = Size (shape)
  axes = Range (one, rank, one)
  plus = Unsqueeze (scale, axes)
  minus = Neg (plus)
  weight = Where (signs, plus, minus)
  y = {_CONVOLVE} (x, weight, bias)
""",
    "Linear": """
  columns = Transpose <perm = [1, 0]> (signs)
  minus = Neg (scale)
  weight = Where (columns, scale, minus)
  product = MatMul (x, weight)
  y = Add (product, bias)
""",
}

# Scales behind the sum, which is one of integers and so the same in any order. Clip, which changes nothing,
# keeps onnxruntime from multiplying the scale into the weight.
_CONSTANTS = """
  plus = Constant <value = float {1.0}> ()
  minus = Constant <value = float {-1.0}> ()
  lowest = Constant <value = float {-3e38}> ()
  highest = Constant <value = float {3e38}> ()
"""
_PLACES = """
  one = Constant <value = int64 {1}> ()
  rank = Size (shape)
  last = Sub (rank, one)
  places = Range (one, last, one)
"""
_INTEGER = {
    "Conv": f"""
  weight = Where (signs, plus, minus)
  product = {_CONVOLVE} (b, weight)
  exact = Clip (product, lowest, highest)
  factor = Unsqueeze (scale, places)
  term = Unsqueeze (bias, places)
  scaled = Mul (exact, factor)
  y = Add (scaled, term)
""",
    "Linear": """
  columns = Transpose <perm = [1, 0]> (signs)
  weight = Where (columns, plus, minus)
  product = MatMul (b, weight)
  exact = Clip (product, lowest, highest)
  scaled = Mul (exact, scale)
  y = Add (scaled, bias)
""",
}

# Several bases: one float weight, the sum of them all, for one product of floats.
_PLANES = """
  bases = Shape <start = 0, end = 1> (scale)
  planes = Concat <axis = 0> (bases, shape)
"""
_SUMMED = {
    "Conv": """
  unit = Constant <value = int64 {1}> ()
  second = Constant <value = int64 {2}> ()
  planes_rank = Size (planes)
  behind = Range (second, planes_rank, unit)
  spread = Unsqueeze (scale, behind)
  negated = Neg (spread)
  signed = Where (signs, spread, negated)
  first = Constant <value = int64[1] {0}> ()
  weight = ReduceSum <keepdims = 0> (signed, first)
""",
    "Linear": """
  columns = Transpose <perm = [0, 2, 1]> (signs)
  between = Constant <value = int64[1] {1}> ()
  spread = Unsqueeze (scale, between)
  negated = Neg (spread)
  signed = Where (columns, spread, negated)
  first = Constant <value = int64[1] {0}> ()
  weight = ReduceSum <keepdims = 0> (signed, first)
""",
}
_MULTIPLIED = {
    "Conv": f"  y = {_CONVOLVE} ({{x}}, weight, bias)\n",
    "Linear": "  product = MatMul ({x}, weight)\n  y = Add (product, bias)\n",
}
_MOVED = {"Conv": "  moved = Unsqueeze (shift, places)\n", "Linear": "  moved = Identity (shift)\n"}
_ATTRIBUTES = {"Conv": "shape, strides, pads, dilations, group", "Linear": "shape"}

# What follows y, in the order of an op's name. The body of such an op calls the op without it, whose function
# the file then has too: the unpacking is there once, and whoever knows only that op can still compute it.
_PASSED_ON = {"Conv": f"shape: ints = @shape, {_AROUND}", "Linear": "shape: ints = @shape"}
_ADD = "  y{after} = Add (y{before}, residual)\n"
_RELU = "  y{after} = Relu (y{before})\n"
_GELU = "  y{after} = Gelu (y{before})\n"
GELU_OPSET = 20
"""The first with Gelu; before, it is written as torch writes it."""
ROOT = 1.4142135381698608
"""√2 in float32."""
_GELU_BY_ERF = f"""
  root = Constant <value = float {{{{{ROOT}}}}}> ()
  ratio = Div (y{{before}}, root)
  erf = Erf (ratio)
  unit = Constant <value = float {{{{1.0}}}}> ()
  moved = Add (erf, unit)
  half = Constant <value = float {{{{0.5}}}}> ()
  share = Mul (moved, half)
  y{{after}} = Mul (y{{before}}, share)
"""
_HARD_SWISH = "  y{after} = HardSwish (y{before})\n"
_SILU = """
  gate = Sigmoid (y{before})
  y{after} = Mul (y{before}, gate)
"""
SLOPE_6 = float(np.float32(1 / 6))
"""Of torch's hard sigmoid, min(max(y/6 + 1/2, 0), 1)."""
_HARD_SIGMOID = f"  y{{after}} = HardSigmoid <alpha = {SLOPE_6}, beta = 0.5> (y{{before}})\n"
EPILOGUES = [
    *[(), ("Relu",), ("Gelu",), ("HardSwish",), ("Silu",), ("HardSigmoid",)],
    *[("Add",), ("Add", "Relu"), ("Add", "Gelu")],
]
"""Every one that a name may have."""


@dataclass(frozen=True)
class Op:
    """One op of the family `[Packed][Sign|Step]Binary{Conv|Linear}[EPILOGUE][Pack]`, or of
    `[Sign|Step]BinaryBases{Conv|Linear}`.

    Attributes:
        binary: "Sign" or "Step"; "" where x is used as it is (W1A32).
        product: "Conv" or "Linear".
        epilogue: what follows, in order: one of `EPILOGUES`.
        packed: x is bit-packed, as the op before it wrote it (the native form).
        packs: what the next op makes of y comes first among the outputs, bit-packed.
        several: the weight is the sum of several bases.
    """

    binary: str
    product: str
    epilogue: tuple[str, ...] = ()
    packed: bool = False
    packs: bool = False
    several: bool = False

    @property
    def name(self) -> str:
        ends = "".join(self.epilogue) + ("Pack" if self.packs else "")
        return ("Packed" if self.packed else "") + self.base + ends

    @property
    def base(self) -> str:
        """The op without its epilogue."""
        return f"{self.binary}Binary{'Bases' if self.several else ''}{self.product}"

    @property
    def inputs(self) -> list[str]:
        boundary = [_BOUNDARY[self.binary]] if self.binary and not self.packed else []
        residual = ["residual"] if "Add" in self.epilogue else []
        return ["x", "bits", "scale", "bias", *boundary, *residual, *["next"] * self.packs]

    @property
    def attributes(self) -> str:
        return _ATTRIBUTES[self.product]

    def body(self, opset: int, smooth: bool, whole: bool, domain: str) -> str:
        """The op in standard ops, or in those behind that domain's op without an epilogue; `smooth`: that of
        its smooth surrogate; `whole`: for weights that fill their last byte."""
        if self.epilogue:
            return self._with_epilogue(opset, domain)
        planes, shape = (_PLANES, "planes") if self.several else ("", "shape")
        unpack = _OCTETS + planes + (_WHOLE if whole else _CUT).format(shape=shape)
        if self.several:
            unpack += _SUMMED[self.product]
        if not self.binary:
            return unpack + self._multiplied("x", _FLOAT)
        places = _PLACES if self.product == "Conv" else ""
        moved = _MOVED[self.product] if self.binary == "Sign" else ""
        binary = (_SMOOTH if smooth else _BINARY)[self.binary]
        return unpack + _CONSTANTS + places + moved + binary + self._multiplied("b", _INTEGER)

    def _multiplied(self, x: str, of_one_base: dict[str, str]) -> str:
        return _MULTIPLIED[self.product].format(x=x) if self.several else of_one_base[self.product]

    def call(self, domain: str, y: str) -> str:
        """A line that gives `y` by the op of that domain."""
        inputs = ", ".join(self.inputs)
        return f"  {y} = {domain}.{self.name} <{_PASSED_ON[self.product]}> ({inputs})\n"

    def _with_epilogue(self, opset: int, domain: str) -> str:
        bodies = {
            "Add": _ADD,
            "Relu": _RELU,
            "Gelu": _GELU if opset >= GELU_OPSET else _GELU_BY_ERF,
            "HardSwish": _HARD_SWISH,
            "Silu": _SILU,
            "HardSigmoid": _HARD_SIGMOID,
        }
        values = [*map(str, range(len(self.epilogue))), ""]  # y0, y1, y
        body = OPS[self.base].call(domain, "y0")
        for each, before, after in zip(self.epilogue, values[:-1], values[1:], strict=True):
            body += bodies[each].format(before=before, after=after)
        return body


_FAMILY = [
    Op(binary, product, epilogue)
    for epilogue in EPILOGUES
    for binary in ("", *_BINARY)
    for product in _FLOAT
]
OPS: dict[str, Op] = {op.name: op for op in _FAMILY}
"""Every op of one base that has a function, by its name."""
BASES_OPS: dict[str, Op] = {
    op.name: op
    for binary in ("", *_BINARY)
    for product in _FLOAT
    for op in [Op(binary, product, several=True)]
}
"""Those of several bases."""
FUNCTION_OPS = OPS | BASES_OPS
"""Every op that has a function."""
NATIVE_OPS: dict[str, Op] = {
    op.name: op
    for one in _FAMILY
    for packed, packs in ((True, False), (False, True), (True, True))
    if one.binary
    for op in [replace(one, packed=packed, packs=packs)]
}
"""Those of the native form, which the binarize kernels alone compute."""
ALL_OPS = FUNCTION_OPS | NATIVE_OPS


def function(
    name: str,
    opset: int,
    smooth: bool = False,
    whole: bool = False,
    domain: str = DOMAIN,
    lent: bool = False,
) -> ir.Function:
    """The body of the op of that name and domain in standard ops at that opset.

    `smooth`: with a slope for the threshold of a binary input, so that rounding cannot flip it (for
    validation; never in a file). `whole`: only for weights whose number is a multiple of 8, which a session
    unpacks in less time. `lent`: by a call of the op of `WIDE`, whose function the file has too.
    """
    op = FUNCTION_OPS[name]
    called = WIDE if lent else domain
    body = op.call(WIDE, "y") if lent else op.body(opset, smooth, whole, domain)
    imports = f', "{called}" : {VERSION}' if lent or op.epilogue else ""
    text = f"""
<domain: "{domain}", opset_import: ["" : {opset}{imports}]>
{name} <{op.attributes}> ({", ".join(op.inputs)}) => (y) {{{body}}}
"""
    return ir.serde.deserialize_function(onnx.parser.parse_function(text))


STEM, STEM_CHANNELS = "Stem", 4
"""The op that is none of the family, a network's float beginning, and how many channels images may have."""
_STEM = """
  convolved = Conv <kernel_shape = [7, 7], strides = [2, 2], pads = [3, 3, 3, 3]> (x, weight, bias)
  positive = Relu (convolved)
  y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (positive)
"""


def stem_function(opset: int) -> ir.Function:
    """The body of Stem in standard ops at that opset."""
    text = f"""
<domain: "{DOMAIN}", opset_import: ["" : {opset}]>
{STEM} (x, weight, bias) => (y) {{{_STEM}}}
"""
    return ir.serde.deserialize_function(onnx.parser.parse_function(text))


def append_functions(model: ir.Model) -> None:
    """Give `model` the functions that its binarize ops need, at its own opset, and the imports. What unpacks
    bits is there once: of a base op in both domains, one calls the other."""
    opset = model.opset_imports[""]
    own = [node for node in model.graph if node.domain in DOMAINS]
    weights = {
        domain: [
            (node.op_type, node.attributes.get_ints("shape"))
            for node in own
            if node.domain == domain and node.op_type in FUNCTION_OPS
        ]
        for domain in DOMAINS
    }
    everywhere = needed([*weights[DOMAIN], *weights[WIDE]])
    wide, plain = needed(weights[WIDE]), needed(weights[DOMAIN])
    bodies = [function(name, opset, whole=everywhere[name], domain=WIDE) for name in wide]
    for name in plain:
        lent = name in wide and not FUNCTION_OPS[name].epilogue
        bodies.append(function(name, opset, whole=everywhere[name], lent=lent))
    if any(node.op_type == STEM for node in own):
        bodies.append(stem_function(opset))
    for body in bodies:
        model.functions[body.identifier()] = body
        model.opset_imports[body.domain] = VERSION


def needed(weights: Iterable[tuple[str, Sequence[int]]]) -> dict[str, bool]:
    """The functions that a file with those (op, shape of its weight) needs: name -> whether all weights that
    it unpacks fill their last byte. One that is called by another stands before it."""
    shapes: dict[str, list[Sequence[int]]] = {}
    for op, shape in weights:
        for name in {op, FUNCTION_OPS[op].base}:
            shapes.setdefault(name, []).append(shape)
    return {name: fill_bytes(shapes[name]) for name in sorted(shapes)}


def fill_bytes(shapes: Iterable[Sequence[int]]) -> bool:
    """Whether no weight of those shapes leaves bits of its last byte over."""
    return all(math.prod(shape) % 8 == 0 for shape in shapes)
