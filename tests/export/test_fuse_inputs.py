"""What becomes of the markers around a product, rule by rule: one op, or an error that names the layer."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from binarize.errors import ExportError
from binarize.exporting.functions import DOMAIN, VERSION
from binarize.exporting.passes import FuseInputs
from binarize.packing import pack_bits

AROUND = "strides = [1, 1], dilations = [1, 1], group = 1"
WORDS = {
    "step": ("binarize.Step", "boundary"),
    "sign": ("binarize.Sign", "boundary"),
    "scale": ("binarize.Scale", "factor, zeros"),
    "other": ("binarize.Scale", "factor, bias"),
    "conv": (f"binarize.BinaryConv <shape = [8, 8, 3, 3], pads = [1, 0, 1, 0], {AROUND}>", "w, o, z"),
    "bases": (f"binarize.BinaryBasesConv <shape = [8, 8, 3, 3], pads = [1, 0, 1, 0], {AROUND}>", "w, o, z"),
    "linear": ("binarize.BinaryLinear <shape = [8, 8]>", "w, o, z"),
}  # fmt: skip
NAMES = {
    "boundary": "block.conv.weight_binarizer.boundary",
    "factor": "block.conv.weight_binarizer.scale",
    "zeros": "block.conv.weight_binarizer.zeros",
    "bias": "block.shared.bias",
}


def model(body: str, outputs: str = "y", **pads: list[int]) -> ir.Model:
    """A graph in ONNX's text form, with `step(x)` and so on for markers and binarize ops."""
    lines = []
    for line in body.split(";"):
        result, _, call = line.partition("=")
        word, _, given = call.strip().rstrip(")").partition("(")
        op, constants = WORDS.get(word, ("", ""))
        lines.append(f"{result}= {f'{op} ({given}, {constants})' if op else call}")
    ends = ", ".join(f"float[n,8,h,w] {name}" for name in outputs.split())
    text = (
        '<ir_version: 10, opset_import: ["" : 20, "binarize" : 1]>\n'
        f"g (float[n,8,6,5] x) => ({ends}) {{ {' '.join(lines)} }}"
    )
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    constants = {
        "w": pack_bits(random.random((8, 8, 3, 3)) < 0.5),
        **{name: random.normal(size=8).astype(np.float32) for name in ("boundary", "factor", "bias")},
        **{"o": np.ones(8, np.float32), "z": np.zeros(8, np.float32), "zeros": np.zeros(8, np.float32)},
        **{"nought": np.float32(0), "unit": np.float32(1)},
        **{name: np.asarray(value) for name, value in pads.items()},
    }  # fmt: skip
    for name, array in constants.items():
        if any(name in node.input for node in proto.graph.node):
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    graph = ir.from_proto(proto)
    for old, new in NAMES.items():
        if old in graph.graph.initializers:
            graph.graph.initializers[old].name = new
    for node in graph.graph:
        node.name = "block.conv" if "Binary" in node.op_type else None
    return graph


def fuse(graph: ir.Model) -> ir.Node:
    """The one node that the graph is fused to."""
    assert FuseInputs()(graph).modified
    assert not FuseInputs()(graph).modified
    (node,) = graph.graph
    return node


@pytest.mark.parametrize("product", ["conv", "bases", "linear"])
@pytest.mark.parametrize(("marker", "part"), [("step", "threshold"), ("sign", "shift")])
def test_markers_and_a_product_become_one_op(product: str, marker: str, part: str) -> None:
    graph = model(f"a = {marker}(x); b = {product}(a); y = scale(b)")
    given = {name: value.const_value.numpy() for name, value in graph.graph.initializers.items()}
    node = fuse(graph)
    kind = {"conv": "BinaryConv", "bases": "BinaryBasesConv", "linear": "BinaryLinear"}[product]
    assert (node.domain, node.version) == (DOMAIN, VERSION)
    assert (node.op_type, node.name) == (f"{marker.capitalize()}{kind}", "block.conv")
    names = ["x", "w", *(f"block.conv.{one}" for one in ("scale", "bias", part))]
    assert [value.name for value in node.inputs] == names
    assert set(graph.graph.initializers) == set(names[1:])
    held = [node.inputs[index].const_value.numpy() for index in (2, 3, 4)]
    for value, name in zip(held, ("factor", "zeros", "boundary"), strict=True):
        assert np.array_equal(value, given[NAMES[name]])
    assert [value.name for value in node.outputs] == ["y"]
    assert graph.graph.outputs[0] is node.outputs[0]
    if product != "linear":
        assert list(node.attributes.get_ints("pads")) == [1, 0, 1, 0]


def test_a_bias_of_the_models_own_keeps_its_name() -> None:
    node = fuse(model("a = sign(x); b = conv(a); y = other(b)"))
    assert [value.name for value in node.inputs[2:4]] == ["block.conv.scale", "block.shared.bias"]


@pytest.mark.parametrize(
    ("pad", "values"),
    [
        ("Pad (a, p)", {"p": [0, 0, 2, 3, 0, 0, 4, 5]}),
        ("Pad (a, p, nought)", {"p": [0, 0, 2, 3, 0, 0, 4, 5]}),
        ('Pad <mode = "constant"> (a, p, , along)', {"p": [2, 3, 4, 5], "along": [2, 3]}),
        ("Pad (a, p, nought, along)", {"p": [3, 2, 5, 4], "along": [-1, 2]}),
    ],
)
def test_padding_of_images_with_zeros_goes_into_the_op(pad: str, values: dict) -> None:
    graph = model(f"a = sign(x); q = {pad}; b = conv(q); y = scale(b)", **values)
    node = fuse(graph)
    assert list(node.attributes.get_ints("pads")) == [3, 3, 5, 5]
    assert "p" not in graph.graph.initializers


@pytest.mark.parametrize(
    ("pad", "values"),
    [
        ("Pad (a, p, unit)", {"p": [0, 0, 1, 1, 0, 0, 1, 1]}),
        ('Pad <mode = "edge"> (a, p)', {"p": [0, 0, 1, 1, 0, 0, 1, 1]}),
        ("Pad (a, p)", {"p": [0, 1, 1, 1, 0, 0, 1, 1]}),  # channels
        ("Pad (a, p)", {"p": [0, 0, 1, 1, 1, 0, 1, 1]}),  # images of the batch
        ("Pad (a, p)", {"p": [0, 0, 1, 1, 0, 0, 1, -1]}),
        ("Pad (a, p, x)", {"p": [0, 0, 1, 1, 0, 0, 1, 1]}),
    ],
)
def test_any_other_padding_is_an_error(pad: str, values: dict) -> None:
    graph = model(f"a = sign(x); q = {pad}; b = conv(q); y = scale(b)", **values)
    with pytest.raises(ExportError, match=r'layer "block\.conv" uses its binary input') as caught:
        FuseInputs()(graph)
    assert "--keep" in caught.value.hint


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("a = sign(x); b = conv(a); c = scale(b); y = Add (b, c)", "y"),  # the sum has two readers
        ("a = sign(x); b = conv(a); y = scale(b)", "y b"),
        ("a = sign(x); b = conv(a); y = Relu (b)", "y"),
        ("a = sign(x); b = conv(a); y = sign(b)", "y"),
        ("a = sign(x); r = Relu (a); b = conv(r); y = scale(b)", "y"),
        ("a = sign(x); q = Pad (a, p); b = linear(q); y = scale(b)", "y"),
        ("b = conv(x); y = scale(b)", "y"),
        ("a = Relu (x); b = conv(a); y = scale(b)", "y"),
        ("a = scale(x); b = conv(a); y = scale(b)", "y"),
        ("y = sign(x)", "y"),
        ("a = sign(x); b = conv(a); c = scale(b); d = sign(x); e = Neg (d); y = Add (c, e)", "y"),
    ],
)
def test_a_marker_that_is_left_is_an_error(body: str, outputs: str) -> None:
    graph = model(body, outputs, p=[0] * 8)
    with pytest.raises(ExportError, match=r'layer "block\.conv'):
        FuseInputs()(graph)


def test_a_marker_may_have_several_readers() -> None:
    graph = model(
        "a = sign(x); b = conv(a); c = conv(a); d = scale(b); e = scale(c); y = Add (d, e)"
    )
    assert FuseInputs()(graph).modified
    assert [node.op_type for node in graph.graph] == ["SignBinaryConv", "SignBinaryConv", "Add"]


def test_an_op_without_markers_stays_as_it_is() -> None:
    graph = model("y = conv(x)")
    assert not FuseInputs()(graph).modified
    graph = model("a = sign(x); b = conv(a); c = scale(b); d = conv(c); y = Relu (d)")
    assert FuseInputs()(graph).modified
    assert [node.op_type for node in graph.graph] == ["SignBinaryConv", "BinaryConv", "Relu"]
