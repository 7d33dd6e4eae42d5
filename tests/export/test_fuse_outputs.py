"""What is fused to the end of an op and what is not, rule by rule; and that the graph computes the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime
import pytest

from binarize.exporting.forms.calibration import clone
from binarize.exporting.functions import append_functions
from binarize.exporting.passes import FoldNorm, FuseOutputs
from binarize.packing import pack_bits

ENDS = ("Add", "Relu", "Gelu", "HardSwish", "Silu", "HardSigmoid")
RNG = np.random.default_rng(0)
CONV = (
    "binarize.%s <shape = [4, 4, 3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], "
    "group = 1>"
)
OURS = {
    "conv": (CONV % "BinaryConv", "(%s, bits, scale, bias)"),
    "sign": (CONV % "SignBinaryConv", "(%s, bits, scale, bias, shift)"),
    "linear": ("binarize.BinaryLinear <shape = [4, 4]>", "(%s, rows, scale, bias)"),
}
IMAGES, ROWS = "float[n,4,6,5]", "float[n,3,4]"
X = {IMAGES: RNG.normal(size=(2, 4, 6, 5)), ROWS: RNG.normal(size=(2, 3, 4))}


def model(
    body: str, kind: str = IMAGES, outputs: str = "y", unknown: tuple[str, ...] = (), opset=20
):
    """A graph in ONNX's text form, with `conv(x)` and so on for binarize ops, and values a to f of one
    shape."""
    for word, (op, inputs) in OURS.items():
        while (at := body.find(f"{word}(")) >= 0:
            given = body[at:].partition("(")[2].partition(")")[0]
            body = body.replace(f"{word}({given})", f"{op} {inputs % given}", 1)
    known = ", ".join(f"{kind} {name}" for name in "abcdef" if name not in unknown)
    ends = ", ".join(f"{kind} {name}" for name in outputs.split())
    text = (
        f'<ir_version: 10, opset_import: ["" : {opset}, "binarize" : 1]>\n'
        f"g ({kind} x) => ({ends}) <{known}> {{ {body} }}"
    )
    proto = onnx.parser.parse_model(text)
    constants = {
        "bits": pack_bits(RNG.random((4, 4, 3, 3)) < 0.5),
        "rows": pack_bits(RNG.random((4, 4)) < 0.5),
        **{name: RNG.normal(size=4) for name in ("scale", "bias", "shift")},
        "row": RNG.normal(size=(1, 4, 1, 1) if kind == IMAGES else 4),
        "whole": RNG.normal(size=(2, *X[kind].shape[1:])),
        **{"root": np.float32(2) ** 0.5, "one": np.array(1.0), "half": np.array(0.5)},
    }
    for name, value in constants.items():
        value = value if value.dtype == np.uint8 else value.astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    graph = ir.from_proto(proto)
    for number, node in enumerate(one for one in graph.graph if one.domain):
        node.name = f"layer{number}"
    return graph


def run(graph: ir.Model) -> list[np.ndarray]:
    copy = clone(graph)
    append_functions(copy)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = ir.to_proto(copy).SerializeToString()
    runner = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    x = X[IMAGES if len(graph.graph.inputs[0].shape) == 4 else ROWS].astype(np.float32)
    return runner.run(None, {"x": x})


def ops(graph: ir.Model) -> list[str]:
    return [node.op_type for node in graph.graph]


def fuse(graph: ir.Model) -> list[str]:
    """The ops after the pass, which changes neither a result nor, a second time, anything."""
    before, names = run(graph), [value.name for value in graph.graph.outputs]
    layers = sorted(node.name for node in graph.graph if node.domain)
    modified = FuseOutputs()(graph).modified
    assert modified is any(op.endswith(ENDS) and "Binary" in op for op in ops(graph))
    assert [value.name for value in graph.graph.outputs] == names
    assert sorted(node.name for node in graph.graph if node.domain) == layers
    for given, expected in zip(run(graph), before, strict=True):
        assert np.array_equal(given, expected)
    left = ops(graph)
    assert not FuseOutputs()(graph).modified
    return left


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("a = conv(x) y = Relu (a)", ["BinaryConvRelu"]),
        ("a = conv(x) y = Gelu (a)", ["BinaryConvGelu"]),
        ('a = conv(x) y = Gelu <approximate = "none"> (a)', ["BinaryConvGelu"]),
        ("a = conv(x) y = HardSwish (a)", ["BinaryConvHardSwish"]),
        ("a = sign(x) b = Sigmoid (a) y = Mul (b, a)", ["SignBinaryConvSilu"]),
        ("a = conv(x) y = HardSigmoid <alpha = 0.16666667> (a)", ["BinaryConvHardSigmoid"]),
        ("a = conv(x) b = Add (a, x) y = HardSwish (b)", ["BinaryConvAdd", "HardSwish"]),
        ("a = conv(x) y = Add (a, x)", ["BinaryConvAdd"]),
        ("a = conv(x) y = Add (x, a)", ["BinaryConvAdd"]),
        ("a = sign(x) b = Add (a, x) y = Relu (b)", ["SignBinaryConvAddRelu"]),
        ("a = sign(x) b = Add (x, a) y = Gelu (b)", ["SignBinaryConvAddGelu"]),
        ("a = conv(x) b = Relu (a) y = Add (b, x)", ["BinaryConvRelu", "Add"]),
        ("a = conv(x) b = Add (a, x) c = Add (b, x) y = Relu (c)", ["BinaryConvAdd", "Add", "Relu"]),
        ("a = conv(x) b = Relu (a) c = conv(b) y = Add (c, x)", ["BinaryConvRelu", "BinaryConvAdd"]),
    ],
)  # fmt: skip
def test_what_is_fused(body: str, left: list[str]) -> None:
    assert fuse(model(body)) == left


@pytest.mark.parametrize(
    "epilogue", ["y = Gelu (a)", "b = Add (x, a) y = Gelu (b)", "y = Relu (a)"]
)
def test_linear_layers_of_several_rows(epilogue: str) -> None:
    left = fuse(model(f"a = linear(x) {epilogue}", ROWS))
    assert len(left) == 1
    assert left[0].startswith("BinaryLinear")


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("a = conv(x) b = Relu (a) y = Mul (a, b)", "y"),
        ("a = conv(x) b = Relu (a) y = Add (a, b)", "y"),
        ("a = conv(x) y = Add (a, a)", "y"),
        ("a = conv(x) y = Add (a, row)", "y"),
        ("a = conv(x) y = Add (whole, a)", "y"),
        ("a = conv(x) y = Relu (a)", "y a"),
        ('a = conv(x) y = Gelu <approximate = "tanh"> (a)', "y"),
        ("a = conv(x) y = HardSigmoid (a)", "y"),
        ("a = conv(x) y = HardSigmoid <alpha = 0.16666667, beta = 0.4> (a)", "y"),
        ("a = conv(x) b = Sigmoid (a) y = Mul (b, b)", "y"),
        ("a = conv(x) b = Sigmoid (a) y = Mul (b, a)", "y b"),
        ("a = conv(x) m = ReduceMean <keepdims = 1> (x) y = Add (a, m)", "y"),
        ("a = conv(x) m = Sigmoid (x) y = Add (a, m)", "y"),  # whose shape nobody wrote down
        ("a = conv(x) b = Neg (a) y = Relu (b)", "y"),
    ],
)
def test_what_is_not_fused(body: str, outputs: str) -> None:
    assert "BinaryConv" in fuse(model(body, outputs=outputs))


def test_an_output_of_unknown_shape_takes_no_residual() -> None:
    assert fuse(model("a = conv(x) y = Add (a, x)", unknown=("a",))) == ["BinaryConv", "Add"]


def test_a_free_dimension_without_a_name_is_unknown() -> None:
    graph = model("a = conv(x) y = Add (a, x)")
    for value in (graph.graph.inputs[0], graph.graph[0].outputs[0]):
        value.shape = ir.Shape([None, 4, 6, 5])
    assert fuse(graph) == ["BinaryConv", "Add"]


def test_other_names_of_free_dimensions_are_other_sizes() -> None:
    graph = model("a = conv(x) y = Add (a, x)")
    graph.graph[0].outputs[0].shape = ir.Shape(["m", 4, 6, 5])
    assert fuse(graph) == ["BinaryConv", "Add"]


def test_of_two_that_are_added_the_later_one_takes_the_other() -> None:
    graph = model("a = conv(x) b = sign(x) c = Add (a, b) y = Relu (c)")
    assert fuse(graph) == ["BinaryConv", "SignBinaryConvAddRelu"]
    assert [value.name for value in graph.graph[1].inputs][-1] == "a"
    assert [node.name for node in graph.graph] == ["layer0", "layer1"]


def test_an_op_waits_for_a_residual_that_is_made_later() -> None:
    graph = model("a = conv(x) b = Sigmoid (x) c = Add (a, b) y = Relu (c)")
    assert fuse(graph) == ["Sigmoid", "BinaryConvAddRelu"]


def test_an_op_waits_past_another_layer() -> None:
    graph = model("a = conv(x) b = sign(x) d = Sigmoid (b) c = Add (a, d) y = Relu (c)")
    assert fuse(graph) == ["SignBinaryConv", "Sigmoid", "BinaryConvAddRelu"]


@pytest.mark.parametrize("after", ["Add (a, x)", "Relu (a)", "Gelu (a)"])
def test_an_op_of_another_domain_is_another_op(after: str) -> None:
    graph = model(f"a = conv(x) y = {after}")
    graph.graph[1].domain = "elsewhere"
    assert not FuseOutputs()(graph).modified


def test_an_op_does_not_wait_past_another_use_of_its_layer() -> None:
    graph = model("a = conv(x) b = conv(x) d = Relu (b) c = Add (a, d) y = Relu (c)")
    for node in graph.graph:
        node.name = "layer" if node.domain else None
    FuseOutputs()(graph)
    assert ops(graph) == ["BinaryConv", "BinaryConvRelu", "Add", "Relu"]


ERF = "a = conv(x) b = Div (a, %s) c = Erf (b) d = Add (c, one) e = Mul (half, d) y = Mul (%s, e)"


def test_gelu_as_torch_writes_it_below_opset_20() -> None:
    graph = model(ERF % ("root", "a"), opset=18)
    assert fuse(graph) == ["BinaryConvGelu"]


@pytest.mark.parametrize("operands", [("one", "a"), ("root", "x")])
def test_what_looks_like_gelu_by_erf_and_is_none(operands: tuple[str, str]) -> None:
    assert "BinaryConv" in fuse(model(ERF % operands, opset=18))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Erf (b)", "Tanh (b)"),
        ("c, one", "c, half"),
        ("half, d", "one, d"),
        ("Mul (half", "Div (half"),
    ],
)
def test_what_has_another_op_or_number_is_no_gelu(old: str, new: str) -> None:
    body = (ERF % ("root", "a")).replace(old, new)
    assert "BinaryConv" in fuse(model(body, opset=18))


def test_what_ends_before_it_is_one_is_no_gelu() -> None:
    body = "a = conv(x) b = Div (a, root) z = Erf (b) y = Mul (a, half)"
    assert "BinaryConv" in fuse(model(body, outputs="y z", opset=18))


def test_no_norm_is_folded_into_what_has_an_epilogue() -> None:
    graph = model("a = conv(x) b = Relu (a) y = BatchNormalization (b, scale, bias, shift, scale)")
    FuseOutputs()(graph)
    assert not FoldNorm()(graph).modified
    assert ops(graph) == ["BinaryConvRelu", "BatchNormalization"]
