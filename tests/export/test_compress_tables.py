"""Masks as bits, indices in small types, two vectors of a norm, rule by rule."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.reference
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto

from binarize.exporting.passes import CompressTables, DeduplicateInitializers, FoldStatistics

RNG = np.random.default_rng(0)
HEADER = '<ir_version: 10, opset_import: ["" : 20]>\n'


def table(*shape: int, low: int, high: int, dtype: type = np.int64) -> np.ndarray:
    elements = RNG.integers(low, high, shape, endpoint=True).astype(dtype)
    elements.flat[:2] = low, high
    return elements


TABLES = {
    "uint8": (table(9, 9, low=0, high=255), np.uint8),
    "int8": (table(90, low=-128, high=127), np.int8),
    "uint16": (table(90, low=0, high=65535), np.uint16),
    "int16": (table(90, low=-1, high=255), np.int16),
    "int32": (table(90, low=-1, high=65535), np.int32),
    "int32 to uint8": (table(90, low=0, high=9, dtype=np.int32), np.uint8),
    "too wide": (table(90, low=0, high=2**40), np.int64),
    "just enough": (table(64, low=0, high=3), np.uint8),
    "few": (table(63, low=0, high=3), np.int64),
    "float mask": (
        np.where(RNG.random((3, 7, 53)) < 0.5, np.float32(-np.inf), np.float32(0)),
        "bits",
    ),
    "whole bytes": (np.where(RNG.random((32, 64)) < 0.5, np.float32(-100), np.float32(2)), "bits"),
    "bool mask": (RNG.random((32, 33)) < 0.5, "bits"),
    "three values": (table(32, 64, low=0, high=2).astype(np.float32), np.float32),
    "one value": (np.ones((32, 64), np.float32), np.float32),
    "mask of 1024": (RNG.random((32, 32)) < 0.5, "bits"),
    "small mask": (RNG.random((32, 31)) < 0.5, np.bool_),
}
TYPES = {np.int64: "int64", np.int32: "int32", np.float32: "float", np.bool_: "bool"}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_stored_in_what_it_needs_and_restored(name: str) -> None:
    elements, kind = TABLES[name]
    graph, runners = both(elements)
    stored = [
        one.const_value.numpy() for one in graph.graph.initializers.values() if "t" in one.name
    ]
    wanted = (-(-elements.size // 8), 1) if kind == "bits" else elements.shape
    assert [(one.dtype, one.shape) for one in stored] == [
        (np.dtype(np.uint8 if kind == "bits" else kind), wanted)
    ]
    for run in runners:
        given = run(np.zeros(1, np.float32))
        assert given.dtype == elements.dtype
        np.testing.assert_array_equal(given, elements)


def both(elements: np.ndarray):
    """A graph that answers with a table, compressed, and the two runtimes of it."""
    kind = TYPES[elements.dtype.type]
    text = f"g (float[1] x) => ({kind}{list(elements.shape)} y) {{ y = Identity (t) }}"
    proto = onnx.parser.parse_model(HEADER + text)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(elements, "t"))
    graph = ir.from_proto(proto)
    modified = CompressTables()(graph).modified
    assert modified is (
        "t" not in [t.name for t in proto.graph.initializer] or len(graph.graph) > 1
    )
    assert not CompressTables()(graph).modified
    content = ir.to_proto(graph).SerializeToString()
    onnx.checker.check_model(content)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    reference = onnx.reference.ReferenceEvaluator(onnx.load_from_string(content))
    return graph, [lambda x, one=one: one.run(None, {"x": x})[0] for one in (session, reference)]


def test_equal_windows_of_a_mask_are_stored_once() -> None:
    distinct = np.where(RNG.random((2, 9, 49)) < 0.5, np.float32(-100), np.float32(0))
    mask = distinct[[1, 0, 0, 1]]
    graph, runners = both(mask)
    assert graph.graph.initializers["t"].const_value.size == -(-distinct.size // 8)
    for run in runners:
        np.testing.assert_array_equal(run(np.zeros(1, np.float32)), mask)


def test_equal_masks_are_restored_once() -> None:
    mask = TABLES["float mask"][0]
    text = "g (float[1] x) => (float[3,7,53] y) { a = Add (s, x) y = Add (a, t) }"
    proto = onnx.parser.parse_model(HEADER + text)
    for name in "st":
        proto.graph.initializer.append(onnx.numpy_helper.from_array(mask, name))
    graph = ir.from_proto(proto)
    CompressTables()(graph)
    DeduplicateInitializers()(graph)
    assert [node.op_type for node in graph.graph].count("Where") == 1


NORM = "g (float[2,6,4,4] x) => (float[2,6,4,4] y) { %s }"
TWO = (
    "a = BatchNormalization <epsilon = 0.01> (x, g, b, m, v) y = BatchNormalization (a, g, c, m, w)"
)


def norms(text: str) -> ir.Model:
    proto = onnx.parser.parse_model(HEADER + NORM % text)
    for name in "gbmcvw":
        elements = (RNG.random(6) + 0.5).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(elements, name))
    return ir.from_proto(proto)


def test_statistics_go_into_gain_and_shift() -> None:
    graph = norms(TWO)
    x = RNG.normal(size=(2, 6, 4, 4)).astype(np.float32)
    run = [onnx.reference.ReferenceEvaluator(ir.to_proto(graph)).run(None, {"x": x})[0]]
    assert FoldStatistics()(graph).modified
    assert not FoldStatistics()(graph).modified
    proto = ir.to_proto(graph)
    vectors = [one for one in proto.graph.initializer if one.data_type == TensorProto.FLOAT]
    assert len(vectors) == 4  # a gain and a shift of each, g for the one and for the other
    assert [node.op_type for node in graph.graph].count("ConstantOfShape") == 2
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    run.append(session.run(None, {"x": x})[0])
    np.testing.assert_allclose(run[1], run[0], atol=1e-5)


def test_norms_among_other_nodes() -> None:
    graph = norms("a = BatchNormalization (x, g, b, m, v) y = Relu (a)")
    assert FoldStatistics()(graph).modified
    left = [node.op_type for node in graph.graph]
    assert left == ["ConstantOfShape", "ConstantOfShape", "BatchNormalization", "Relu"]


@pytest.mark.parametrize(
    "text",
    [
        "y, p, q = BatchNormalization <training_mode = 1> (x, g, b, m, v)",
        "h = Neg (g) y = BatchNormalization (x, h, b, m, v)",
    ],
)
def test_a_norm_whose_numbers_are_computed_stays(text: str) -> None:
    graph = norms(text)
    assert not FoldStatistics()(graph).modified
