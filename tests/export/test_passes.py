"""A test per rule of each pass; what has nothing for it stays as it is; the second time changes nothing."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime
import pytest
import torch

from binarize.errors import ExportError
from binarize.exporting.classifier import CompressedTensor
from binarize.exporting.functions import append_functions
from binarize.exporting.passes import (
    DeduplicateInitializers,
    FoldNorm,
    MarkAsInput,
    PackWeights,
    SeparatePoolPadding,
    StoreCompressed,
    StripMetadata,
)
from binarize.exporting.passes.graph import constant, drop_unread
from binarize.exporting.passes.pack import _same_pads
from binarize.layers import FrozenWeight

RNG = np.random.default_rng(0)
HEADER = '<ir_version: 10, opset_import: ["" : 20]>\n'
IMAGE = RNG.normal(size=(2, 4, 7, 6)).astype(np.float32)
ROWS = RNG.normal(size=(2, 4)).astype(np.float32)


def frozen(*shape: int) -> FrozenWeight:
    signs = torch.from_numpy(RNG.random(shape) < 0.5)
    return FrozenWeight(signs, torch.from_numpy(RNG.random(shape[0]).astype(np.float32) + 0.1))


def model(text: str, **constants: np.ndarray) -> ir.Model:
    """A graph in ONNX's own text form, with initializers."""
    proto = onnx.parser.parse_model(HEADER + text.replace("<>", ""))
    for name, value in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    return ir.from_proto(proto)


def run(graph: ir.Model, x: np.ndarray) -> np.ndarray:
    """The output of a graph as it stands, in onnx's own reference implementation."""
    copy = ir.from_proto(ir.to_proto(graph))
    append_functions(copy)
    runner = onnx.reference.ReferenceEvaluator(ir.to_proto(copy))
    return runner.run(None, {"x": x})[0]


def pack(graph: ir.Model, weights: dict[str, FrozenWeight]) -> bool:
    """Seal and pack; what the second application would do is asserted to be nothing."""
    assert MarkAsInput(weights)(graph).modified
    modified = PackWeights(weights)(graph).modified
    assert all(len(node.outputs) == 1 for node in graph.graph)
    assert not PackWeights(weights)(graph).modified
    return modified


def ops(graph: ir.Model) -> list[str]:
    return [node.op_type for node in graph.graph]


WEIGHT = frozen(6, 4, 3, 3)
CONV = "g (float[n,4,7,6] x) => (float[n,6,h,w] y) { y = Conv <%s> (x, w%s) }"
LINEAR = frozen(5, 4)


def test_every_pass_leaves_a_graph_alone_that_has_nothing_for_it() -> None:
    text = CONV % ("pads = [1, 1, 1, 1]", "")
    graph = model(text, w=WEIGHT.value.numpy())
    graph.graph[0].name = None
    before = ir.to_proto(graph).SerializeToString()
    for one in (
        MarkAsInput(["other"]),
        PackWeights({}),
        FoldNorm(),
        DeduplicateInitializers(),
        StripMetadata(),
    ):
        assert not one(graph).modified, one
        assert ir.to_proto(graph).SerializeToString() == before, one


def test_a_sealed_weight_is_an_input_of_its_shape() -> None:
    graph = model(CONV % ("", ""), w=WEIGHT.value.numpy())
    assert MarkAsInput(["w", "not there"])(graph).modified
    assert [value.name for value in graph.graph.inputs] == ["x", "w"]
    assert list(graph.graph.inputs[1].shape) == [6, 4, 3, 3]
    assert "w" not in graph.graph.initializers
    assert not MarkAsInput(["w"])(graph).modified


@pytest.mark.parametrize("bias", ["", ", b"])
@pytest.mark.parametrize(
    "attributes",
    [
        "",
        "pads = [1, 0, 2, 1], strides = [2, 1]",
        "dilations = [2, 1]",
        'auto_pad = "VALID"',
        'auto_pad = "SAME_UPPER", strides = [2, 2]',
        'auto_pad = "SAME_LOWER", strides = [2, 1]',
    ],
)
def test_a_convolution_is_packed(attributes: str, bias: str) -> None:
    constants = {"b": RNG.normal(size=6).astype(np.float32)} if bias else {}
    graph = model(CONV % (attributes, bias), w=WEIGHT.value.numpy(), **constants)
    expected = run(graph, IMAGE)
    assert pack(graph, {"w": WEIGHT})
    assert ops(graph) == ["BinaryConv"]
    assert [value.name for value in graph.graph.inputs] == ["x"]
    np.testing.assert_allclose(run(graph, IMAGE), expected, atol=1e-5)


def test_groups_are_kept() -> None:
    weight = frozen(6, 2, 3, 3)
    graph = model(CONV % ("group = 2", ""), w=weight.value.numpy())
    expected = run(graph, IMAGE)
    pack(graph, {"w": weight})
    np.testing.assert_allclose(run(graph, IMAGE), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("y = Gemm <transB = 1> (x, w, b)", ["BinaryLinear"]),
        ("y = Gemm <transB = 1> (x, w)", ["BinaryLinear"]),
        ("t = Transpose <perm = [1, 0]> (w) y = MatMul (x, t)", ["BinaryLinear"]),
        ("t = Transpose (w) p = MatMul (x, t) y = Add (p, b)", ["BinaryLinear"]),
        ("t = Transpose (w) p = MatMul (x, t) y = Add (b, p)", ["BinaryLinear"]),
        ("t = Transpose (w) p = MatMul (x, t) y = Add (p, one)", ["BinaryLinear", "Add"]),
        ("t = Transpose (w) p = MatMul (x, t) y = Add (p, p)", ["BinaryLinear", "Add"]),
        ("t = Transpose (w) p = MatMul (x, t) y = Mul (p, b)", ["BinaryLinear", "Mul"]),
        ("t = Transpose (w) p = MatMul (x, t) y = Relu (p)", ["BinaryLinear", "Relu"]),
    ],
)
def test_a_linear_layer_is_packed(body: str, left: list[str]) -> None:
    graph = model(
        f"g (float[n,4] x) => (float[n,5] y) {{ {body} }}",
        w=LINEAR.value.numpy(),
        b=RNG.normal(size=5).astype(np.float32),
        one=np.ones((1, 5), np.float32),
    )
    expected = run(graph, ROWS)
    assert pack(graph, {"w": LINEAR})
    assert ops(graph) == left
    np.testing.assert_allclose(run(graph, ROWS), expected, atol=1e-5)


def test_a_weight_that_two_nodes_read_is_stored_once() -> None:
    weight = frozen(4, 4)
    graph = model(
        "g (float[n,4] x) => (float[n,4] y) "
        "{ a = Gemm <transB = 1> (x, w) y = Gemm <transB = 1> (a, w) }",
        w=weight.value.numpy(),
    )
    expected = run(graph, ROWS)
    pack(graph, {"w": weight})
    assert sum(name.endswith(".bits") for name in graph.graph.initializers) == 1
    np.testing.assert_allclose(run(graph, ROWS), expected, atol=1e-5)


@pytest.mark.parametrize(
    "body",
    [
        "y = MatMul (x, w)",
        "y = Gemm <transB = 1, alpha = 2.0> (x, w)",
        "s = ReduceSum (w) y = Add (x, s)",
        "t = Transpose (w) y = Add (x, t)",
        "t = Transpose (w) y = MatMul (t, x)",
        "t = Neg (w) y = MatMul (x, t)",
        "y = Gemm (x, w)",
        "y = Gemm <transA = 1, transB = 1> (x, w)",
        "y = Gemm <transB = 1, beta = 2.0> (x, w, b)",
        "y = Gemm <transB = 1> (x, w, rows)",
    ],
)
def test_any_other_use_is_an_error_that_names_the_layer(body: str) -> None:
    weight = frozen(4, 4)
    text = f"g (float[4,4] x) => (float[4,4] y) {{ {body} }}"
    others = {"b": np.ones(4, np.float32), "rows": np.ones((4, 4), np.float32)}
    graph = model(text, w=weight.value.numpy(), **others)
    key = "block.1.proj.weight"
    graph.graph.initializers["w"].name = key
    MarkAsInput([key])(graph)
    with pytest.raises(ExportError, match=r'layer "block\.1\.proj"'):
        PackWeights({key: weight})(graph)


def test_what_reads_a_weight_for_nothing_is_dropped() -> None:
    weight = frozen(4, 4)
    graph = model(
        "g (float[4,4] x) => (float[4,4] y) { y = Gemm <transB = 1> (x, w) d = Add (x, w) }",
        w=weight.value.numpy(),
    )
    pack(graph, {"w": weight})
    assert ops(graph) == ["BinaryLinear"]
    assert len(graph.graph.inputs[0].uses()) == 1
    assert not graph.graph[0].inputs[1].is_graph_input()


def test_same_padding_of_images_without_a_size_is_an_error() -> None:
    with pytest.raises(ExportError, match="no fixed size"):
        _same_pads(ir.Shape(["n", 3, "h", "w"]), [3, 3], [1, 1], [1, 1], "SAME_UPPER")


NORM = {
    "g": np.array([1, -1, 2, 0, 0.5, 1], np.float32),
    "s": RNG.normal(size=6).astype(np.float32),
    "m": RNG.normal(size=6).astype(np.float32),
    "v": RNG.random(6).astype(np.float32) + 0.1,
}
NORMED = "g (float[n,4,7,6] x) => (float[n,6,h,k] y) { c = Conv (x, w) %s }"
AFTER = "y = BatchNormalization <epsilon = 0.01> (c, g, s, m, v)"


def test_a_norm_goes_into_scale_and_bias() -> None:
    graph = model(NORMED % AFTER, w=WEIGHT.value.numpy(), **NORM)
    expected = run(graph, IMAGE)
    pack(graph, {"w": WEIGHT})
    bits = graph.graph.initializers["w.bits"].const_value.numpy().copy()
    assert FoldNorm()(graph).modified
    assert ops(graph) == ["BinaryConv"]
    assert graph.graph.outputs[0].name == "y"
    assert np.array_equal(graph.graph.initializers["w.bits"].const_value.numpy(), bits)
    assert (graph.graph.initializers["w.scale"].const_value.numpy() < 0).any()
    np.testing.assert_allclose(run(graph, IMAGE), expected, atol=1e-5)
    assert not FoldNorm()(graph).modified


@pytest.mark.parametrize(
    "after",
    [
        f"{AFTER.replace('y =', 'z =')} y = Add (z, c)",
        "r = Relu (c) y = BatchNormalization (r, g, s, m, v)",
        "d = Mul (g, g) y = BatchNormalization (c, d, s, m, v)",
    ],
    ids=["a second reader", "something between", "a parameter that is computed"],
)
def test_a_norm_that_must_stay(after: str) -> None:
    graph = model(NORMED % after, w=WEIGHT.value.numpy(), **NORM)
    pack(graph, {"w": WEIGHT})
    assert not FoldNorm()(graph).modified
    assert "BatchNormalization" in ops(graph)


@pytest.mark.parametrize(("rank", "folds"), [(2, True), (3, False)])
def test_a_norm_behind_a_linear_layer_folds_where_channels_are_last(rank: int, folds: bool) -> None:
    weight = frozen(6, 4)
    shape = "n,6" if rank == 2 else "n,6,6"
    x = RNG.normal(size=(3, 4) if rank == 2 else (3, 6, 4)).astype(np.float32)
    graph = model(
        f"g (float[{','.join('n' for _ in range(rank - 1))},4] x) => (float[{shape}] y) "
        f"<float[{shape}] c> {{ t = Transpose (w) c = MatMul (x, t) {AFTER} }}",
        w=weight.value.numpy(),
        **NORM,
    )
    expected = run(graph, x)
    pack(graph, {"w": weight})
    assert FoldNorm()(graph).modified is folds
    np.testing.assert_allclose(run(graph, x), expected, atol=1e-5)


def test_two_nodes_of_one_weight_fold_different_norms() -> None:
    weight = frozen(4, 4, 1, 1)
    other = {name + "2": -value[:4] if name != "v" else value[:4] for name, value in NORM.items()}
    graph = model(
        "g (float[n,4,7,6] x) => (float[n,4,h,k] y) { a = Conv (x, w) "
        "b = BatchNormalization (a, g, s, m, v) c = Conv (b, w) "
        "y = BatchNormalization (c, g2, s2, m2, v2) }",
        w=weight.value.numpy(),
        **{name: value[:4] for name, value in NORM.items()},
        **other,
    )
    expected = run(graph, IMAGE)
    pack(graph, {"w": weight})
    FoldNorm()(graph)
    assert ops(graph) == ["BinaryConv", "BinaryConv"]
    np.testing.assert_allclose(run(graph, IMAGE), expected, atol=1e-4)


def test_constants_are_what_the_file_alone_fixes() -> None:
    graph = model(
        "g (float[n,4] x, float[4] b) => (float[n,4] y, float[4] z) { y = Add (x, b) }",
        **{name: np.ones(4, np.float32) for name in "bz"},
    ).graph
    assert constant(None) is None
    assert constant(graph.inputs[0]) is None
    assert constant(graph.inputs[1]) is None  # which the caller may give
    assert constant(graph.outputs[0]) is None
    assert np.array_equal(constant(graph.initializers["z"]), np.ones(4, np.float32))
    drop_unread(graph)
    assert set(graph.initializers) == {"b", "z"}  # read, and an output


def test_of_equal_constants_an_output_of_the_graph_stays() -> None:
    graph = model(
        "g (float[n,4] x) => (float[n,4] y, int64[2] j) { y = Reshape (x, i) }",
        **{name: np.array([-1, 4]) for name in "ij"},
    )
    assert not DeduplicateInitializers()(graph).modified
    assert set(graph.graph.initializers) == {"i", "j"}


def test_equal_integers_are_shared_and_equal_floats_are_not() -> None:
    graph = model(
        "g (float[n,4] x) => (float[n,4] y) "
        "{ a = Reshape (x, i) b = Reshape (a, j) c = Reshape (b, k) d = Add (c, f) y = Add (d, e) }",
        i=np.array([-1, 4]),
        j=np.array([-1, 4]),
        k=np.array([4, -1]),
        f=np.zeros(4, np.float32),
        e=np.zeros(4, np.float32),
    )
    assert DeduplicateInitializers()(graph).modified
    assert set(graph.graph.initializers) == {"i", "k", "f", "e"}
    assert not DeduplicateInitializers()(graph).modified


def test_tidy_keeps_the_names_of_layers_alone() -> None:
    weights = {"first.weight": WEIGHT.value.numpy(), "second.weight": np.ones((6, 6, 1, 1), "f")}
    graph = model(
        "g (float[n,4,7,6] x) => (float[n,6,h,k] y) { a = Conv (x, p) b = Relu (a) y = Conv (b, q) }",
        p=weights["first.weight"],
        q=weights["second.weight"],
    )
    for old, new in (("p", "first.weight"), ("q", "second.weight")):
        graph.graph.initializers[old].name = new
    pack(graph, {"first.weight": WEIGHT})
    for node in graph.graph:
        node.doc_string = "where it was traced"
        node.outputs[0].metadata_props["why"] = "nobody asks"
    graph.graph[1].name = "node_relu_1"
    assert StripMetadata()(graph).modified
    assert [node.name for node in graph.graph] == ["first", None, "second"]
    text = ir.to_proto(graph).SerializeToString()
    assert b"traced" not in text
    assert b"nobody" not in text
    assert not StripMetadata()(graph).modified


def test_a_layer_that_is_used_again_is_numbered() -> None:
    graph = model(
        "g (float[n,4] x) => (float[n,4] y) { a = MatMul (x, w) b = MatMul (a, w) c = Add (b, e) "
        "d = MatMul (c, w) y = Add (d, x) }",
        w=np.ones((4, 4), np.float32),
        e=np.ones(4, np.float32),
    )
    for old, new in (("w", "fc.weight"), ("e", "fc.bias")):
        graph.graph.initializers[old].name = new
    graph.graph[2].outputs[0].name = "computed.weight"
    assert StripMetadata()(graph).modified
    assert [node.name for node in graph.graph] == ["fc", "fc@2", None, "fc@3", None]
    assert not StripMetadata()(graph).modified


@pytest.mark.parametrize("what", ["doc_string", "metadata_props"])
def test_either_of_what_the_exporter_said_is_dropped(what: str) -> None:
    graph = model("g (float[n,4] x) => (float[n,4] y) { y = Relu (x) }")
    graph.graph[0].name = None
    if what == "doc_string":
        graph.graph.doc_string = "traced"
    else:
        graph.graph.inputs[0].metadata_props["why"] = "traced"
    assert StripMetadata()(graph).modified
    assert b"traced" not in ir.to_proto(graph).SerializeToString()
    assert not StripMetadata()(graph).modified


@pytest.mark.parametrize("scale", [None, np.float32([[0.5], [2], [-1]])], ids=["fp16", "int8"])
def test_a_weight_is_computed_from_what_is_stored(scale: np.ndarray | None) -> None:
    elements = RNG.integers(-9, 9, (3, 4)).astype(np.float16 if scale is None else np.int8)
    stored = CompressedTensor(elements, scale)
    text = "g (float[n,4] x) => (float[n,3] y) { y = Gemm <transB = 1> (x, w) }"
    graph = model(text, w=stored.value.numpy())
    expected = run(graph, ROWS)
    MarkAsInput(["w"])(graph)
    assert StoreCompressed({"w": stored})(graph).modified
    assert ops(graph) == ["Cast", *([] if scale is None else ["Mul"]), "Gemm"]
    assert [one.name for one in graph.graph.inputs] == ["x"]
    assert graph.graph.initializers["w"].const_value.numpy().dtype == elements.dtype
    np.testing.assert_allclose(run(graph, ROWS), expected, atol=1e-5)
    assert not StoreCompressed({"w": stored})(graph).modified


POOL = "g (float[n,4,7,6] x) => (float[n,4,h,w] y) { %s y = MaxPool <kernel_shape = [3, 3]> (%s) }"


def in_onnxruntime(graph: ir.Model, x: np.ndarray) -> np.ndarray:
    content = ir.to_proto(graph).SerializeToString()
    return onnxruntime.InferenceSession(content).run(None, {"x": x})[0]


def test_padding_with_zeros_wins_over_negative_values_in_onnxruntime():
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    graph = model(POOL % ("a = Pad (x, pads)", "a"), pads=pads)
    below = -np.abs(IMAGE)
    expected = run(graph, below)
    assert SeparatePoolPadding()(graph).modified
    assert ops(graph) == ["Pad", "Clip", "MaxPool"]
    assert np.array_equal(in_onnxruntime(graph, below), expected)
    assert (expected[:, :, 0] == 0).all()
    assert not SeparatePoolPadding()(graph).modified


def test_a_max_pooling_without_a_pad_stays_as_it_is():
    graph = model(POOL % ("a = Relu (x)", "a"))
    assert not SeparatePoolPadding()(graph).modified
    assert ops(graph) == ["Relu", "MaxPool"]
