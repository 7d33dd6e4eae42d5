"""Which edges become words and which do not, rule by rule; and that the kernels compute the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from binarize.exporting.functions import NATIVE_OPS, VERSION
from binarize.exporting.passes import PackActivations
from binarize.kernels import installed
from binarize.packing import pack_bits
from binarize.runtime import quiet_session

CONV = (
    "binarize.%s <shape = [{0}, {1}, 3, 3], strides = [1, 1], pads = [1, 1, 1, 1], "
    "dilations = [1, 1], group = {2}>"
)
OPS = {
    "float": "BinaryConv",
    "step": "StepBinaryConv",
    "other": "StepBinaryConv",
    "relu": "StepBinaryConvRelu",
    "add": "StepBinaryConvAddRelu",
    "sign": "SignBinaryConv",
    "gelu": "SignBinaryConvGelu",
    "row": "StepBinaryLinear",
}


def model(
    body: str, group: int = 1, outputs: str = "y", channels: int = 64, last: int = 0
) -> ir.Model:
    """A graph in ONNX's text form, with `step(x)` and so on for binarize ops, each with constants of its own.

    `add(x, r)` has a residual, `other(x)` the threshold of the first op, `row(x)` is linear. `last`: channels
    of y, where they are others.
    """
    random = np.random.default_rng(0)
    constants: dict[str, np.ndarray] = {}

    def own(kind: str, value: np.ndarray) -> str:
        name = f"{kind}{len(constants)}"
        constants[name] = value.astype(np.float32) if value.dtype != np.uint8 else value
        return name

    def ours(word: str, given: str, wide: int) -> str:
        op = OPS[word]
        x, *residual = given.split(",")
        linear = "Linear" in op
        shape = (wide, channels) if linear else (wide, channels // group, 3, 3)
        parts = [
            own("bits", pack_bits(random.random(shape) < 0.5)),
            own("scale", random.normal(size=wide) / 8),
            own("bias", random.normal(size=wide) / 8),
        ]
        if word == "other":
            parts.append(next(name for name in constants if name.startswith("threshold")))
        elif "Sign" in op:
            parts.append(own("shift", 0.2 * random.normal(size=channels)))
        elif "Step" in op:
            parts.append(own("threshold", random.random(1) / 2))
        node = f"binarize.{op} <shape = [{{0}}, {{1}}]>" if linear else CONV % op
        return f"{node.format(*shape[:2], group)} ({', '.join([x, *parts, *residual])})"

    lines = []
    for line in body.split(";"):
        result, _, call = line.partition("=")
        word, _, given = call.strip().rstrip(")").partition("(")
        wide = last if last and result.strip() == "y" else channels
        lines.append(f"{result} = {ours(word, given, wide) if word in OPS else call}")
    size = f"float[2,{channels},5,{channels}]"
    ends = ", ".join(f"float[2,{last or channels},5,w] {name}" for name in outputs.split())
    text = (
        '<ir_version: 10, opset_import: ["" : 20, "binarize" : 1]>\n'
        f"g ({size} x) => ({ends}) {{ {' '.join(lines)} }}"
    )
    proto = onnx.parser.parse_model(text)
    for name, array in constants.items():
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    graph = ir.from_proto(proto)
    for number, node in enumerate(one for one in graph.graph if one.domain):
        node.name = f"layer{number}"
    return graph


def run(graph: ir.Model) -> list[np.ndarray]:
    """What the kernels compute; nothing where there are none."""
    if installed() is None:
        return []
    x = np.random.default_rng(1).normal(size=graph.graph.inputs[0].shape.numpy())
    session = quiet_session(ir.to_proto(graph).SerializeToString(), kernels=True)
    return session.run(None, {"x": x.astype(np.float32)})


def pack(graph: ir.Model) -> list[str]:
    """The ops after the pass, which changes no result and, a second time, nothing."""
    before, names = run(graph), [value.name for value in graph.graph.outputs]
    layers = sorted(node.name for node in graph.graph if node.domain)
    modified = PackActivations()(graph).modified
    left = [node.op_type for node in graph.graph]
    assert modified is any(op in NATIVE_OPS for op in left)
    assert [value.name for value in graph.graph.outputs] == names
    assert sorted(node.name for node in graph.graph if node.domain) == layers
    assert all(value.uses() for value in graph.graph.initializers.values())
    for given, expected in zip(run(graph), before, strict=True):
        assert np.array_equal(given, expected)
    assert not PackActivations()(graph).modified
    return left


STEP, PACKED = "StepBinaryConv", "PackedStepBinaryConv"
LINEAR = "StepBinaryLinear"
ADDS = "a = add(x, x); b = relu(a); y = add(b, a)"
ROWS = "a = row(x); b = row(a); y = row(b)"
SHARED = "a = step(x); b = other(a); c = other(a); y = Add(b, c)"


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("a = step(x); y = step(a)", [f"{STEP}Pack", PACKED]),
        ("a = relu(x); y = sign(a)", [f"{STEP}ReluPack", "PackedSignBinaryConv"]),
        ("a = sign(x); y = relu(a)", ["SignBinaryConvPack", f"{PACKED}Relu"]),
        ("a = relu(x); y = add(a, x)", [f"{STEP}ReluPack", f"{PACKED}AddRelu"]),
        (ADDS, [f"{STEP}AddReluPack", f"{PACKED}ReluPack", f"{PACKED}AddRelu"]),
        (ROWS, [f"{LINEAR}Pack", f"Packed{LINEAR}Pack", f"Packed{LINEAR}"]),
        (SHARED, [f"{STEP}Pack", PACKED, PACKED, "Add"]),
    ],
)
def test_what_hands_on_words(body: str, left: list[str]) -> None:
    assert pack(model(body)) == left


@pytest.mark.parametrize(
    "body",
    [
        "a = float(x); y = step(a)",  # a float input: its op has no words
        "a = step(x); y = float(a)",
        "a = step(x); b = Relu(a); y = step(b)",  # something is between
        "a = step(x); y = row(a)",  # another product
        "a = step(x); y = add(x, a)",  # a residual is no binary input
    ],
)
def test_what_does_not(body: str) -> None:
    graph = model(body)
    before = [node.op_type for node in graph.graph]
    assert pack(graph) == before


def test_values_that_others_read_stay() -> None:
    graph = model("a = step(x); b = step(a); y = Add(a, b)")
    assert pack(graph) == ["StepBinaryConvPack", "PackedStepBinaryConv", "Add"]
    first = next(iter(graph.graph))
    assert len(first.outputs) == 2
    alone = model("a = step(x); y = step(a)")
    pack(alone)
    assert len(next(iter(alone.graph)).outputs) == 1


def test_an_output_of_the_graph_stays() -> None:
    graph = model("a = gelu(x); y = step(a)", outputs="a y")
    assert pack(graph) == ["SignBinaryConvGeluPack", "PackedStepBinaryConv"]


def test_readers_with_another_jump_take_values() -> None:
    graph = model("a = step(x); b = step(a); c = sign(a); y = Add(b, c)")
    assert pack(graph) == ["StepBinaryConvPack", "PackedStepBinaryConv", "SignBinaryConv", "Add"]


@pytest.mark.parametrize(
    ("group", "channels", "packs"), [(2, 64, True), (4, 64, False), (1, 33, True)]
)
def test_channels_of_a_group_fill_words(group: int, channels: int, packs: bool) -> None:
    graph = model("a = step(x); y = step(a)", group, channels=channels)
    assert any(op in NATIVE_OPS for op in pack(graph)) is packs


@pytest.mark.parametrize("last", [48, 32])
def test_what_the_reader_makes_may_fill_no_words(last: int) -> None:
    graph = model("a = step(x); y = step(a)", group=2, last=last)
    assert pack(graph) == ["StepBinaryConvPack", "PackedStepBinaryConv"]


def test_nothing_is_stored_twice() -> None:
    graph = model("a = step(x); y = step(a)")
    before = set(graph.graph.initializers)
    pack(graph)
    assert set(graph.graph.initializers) == before
    assert {node.version for node in graph.graph} == {VERSION}


def test_names_of_values_are_not_taken_twice() -> None:
    graph = model("w0 = step(x); w1 = step(w0); y = Add(w0, w1)")
    pack(graph)
    names = [value.name for node in graph.graph for value in node.outputs]
    assert len(set(names)) == len(names)
