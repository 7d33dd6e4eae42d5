"""Ops of the native form on every tier: words in, words out, against the op that has values on both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_nodes import ABSENT, Node, available, run, session, tier
from onnx import TensorProto, helper, numpy_helper

from binarize.exporting.functions import DOMAIN, NATIVE_OPS, OPS, VERSION, Op
from binarize.packing import WORD, unpack_activations

SIZES = [1, 31, 32, 33, 63, 64, 65]
TIERS = available()
PLAIN = [name for name, op in NATIVE_OPS.items() if not op.epilogue]
FEW = [
    "PackedStepBinaryConvAddReluPack",
    "PackedSignBinaryConvPack",
    "PackedStepBinaryLinearGeluPack",
]

pytestmark = pytest.mark.skipif(not TIERS, reason=ABSENT)


def base_of(op: Op) -> str:
    return replace(op, packed=False, packs=False).name


def words_of(above: np.ndarray, axis: int) -> np.ndarray:
    """uint32 with ceil(channels / 32) words along `axis`, bit by bit as docs/op-spec.md has it."""
    above = np.moveaxis(above, axis, -1)
    words = np.zeros((*above.shape[:-1], -(-above.shape[-1] // WORD)), np.uint32)
    for channel in range(above.shape[-1]):
        words[..., channel // WORD] |= above[..., channel].astype(np.uint32) << np.uint32(
            channel % WORD
        )
    return np.ascontiguousarray(np.moveaxis(words, -1, axis))


def given_to(node: Node, x: np.ndarray) -> np.ndarray:
    """What a packed op is given instead of x."""
    along = (-1, *[1] * (x.ndim - 2)) if node.convolves else (-1,)
    if "shift" in node.constants:
        above = x >= -node.constants["shift"].reshape(along)
    else:
        above = x >= node.constants["threshold"]
    return words_of(above, 1 if node.convolves else -1)


def file_of(op: Op, node: Node, next_split: np.ndarray, rank: int, alone: bool = False) -> bytes:
    """The op, with what the node has, alone in a file: x, residual -> words, y."""
    constants = {name: node.constants[name] for name in op.inputs if name in node.constants}
    if op.packs:
        constants["next"] = next_split
    outputs = ["words"] * op.packs + ["y"] * (not alone)
    made = helper.make_node(op.name, op.inputs, outputs, domain=DOMAIN, **node.attributes)
    kinds = {
        "words": TensorProto.UINT32,
        "x": TensorProto.UINT32 if op.packed else TensorProto.FLOAT,
    }
    ends = {
        name: helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), [None] * rank)
        for name in ("x", "residual", "words", "y")
    }
    graph = helper.make_graph(
        [made],
        "one",
        [ends[name] for name in op.inputs if name in ends],
        [ends[name] for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    imports = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10).SerializeToString()


def check(name: str, node: Node, x: np.ndarray, threads: int = 1, many: bool = True) -> None:
    """The op called `name` against that of `node`."""
    op = NATIVE_OPS[name]
    expected, axis = run(node, x, threads), 1 if node.convolves else -1
    random = np.random.default_rng(3)
    thresholds = random.standard_normal(node.shape[0] if many else 1).astype(np.float32)
    feed = {**node.feed(x), **({"x": given_to(node, x)} if op.packed else {})}
    for alone in (False, True) if op.packs else (False,):
        answers = session(file_of(op, node, thresholds, x.ndim, alone), threads=threads).run(
            None, feed
        )
        if not alone:
            np.testing.assert_array_equal(answers[-1], expected)
        if op.packs:
            along = (-1, *[1] * (x.ndim - 2)) if node.convolves else (-1,)
            assert answers[0].dtype == np.uint32
            np.testing.assert_array_equal(
                answers[0], words_of(expected >= thresholds.reshape(along), axis)
            )


def noise(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def case(name: str, size: int) -> tuple[Node, np.ndarray]:
    op = NATIVE_OPS[name]
    if op.product == "Conv":
        return Node(base_of(op), (size, size, 3, 3), pads=(1, 1, 1, 1)), noise((1, size, 5, 7))
    return Node(base_of(op), (size, size)), noise((size, size))


@pytest.mark.parametrize("name", TIERS)
@pytest.mark.parametrize("op", PLAIN)
@pytest.mark.parametrize("size", SIZES)
def test_word_boundaries(name: str, op: str, size: int) -> None:
    with tier(name):
        check(op, *case(op, size), many=size % 2 == 0)


@pytest.mark.parametrize("op", [name for name, op in NATIVE_OPS.items() if op.epilogue])
def test_every_epilogue(op: str) -> None:
    check(op, *case(op, 40))


@pytest.mark.parametrize("name", TIERS)
@settings(max_examples=30, deadline=None)
@given(data=st.data(), op=st.sampled_from(list(NATIVE_OPS)), seed=st.integers(0, 9))
def test_any_shape(name: str, data, op: str, seed: int) -> None:
    draw = data.draw
    base = base_of(NATIVE_OPS[op])
    outputs, channels = draw(st.integers(1, 130)), draw(st.integers(1, 130))
    with tier(name):
        if OPS[base].product == "Linear":
            check(
                op,
                Node(base, (outputs, channels), seed=seed),
                noise((draw(st.integers(1, 70)), channels)),
            )
            return
        group = draw(st.sampled_from([1, 1, 2]))
        if group > 1:
            outputs, channels = outputs % 3 * WORD + WORD, channels % 3 * WORD + WORD
        kernel = [draw(st.integers(1, 4)) for _ in range(2)]
        strides, pads = (
            [draw(st.integers(1, 3)) for _ in range(2)],
            [draw(st.integers(0, 2)) for _ in range(4)],
        )
        node = Node(base, (outputs * group, channels, *kernel), strides, pads, (1, 1), group, seed)
        check(
            op,
            node,
            noise(
                (
                    draw(st.integers(1, 2)),
                    channels * group,
                    *draw(st.tuples(st.integers(4, 20), st.integers(4, 20))),
                )
            ),
        )


@pytest.mark.parametrize("name", TIERS)
@pytest.mark.parametrize("op", FEW)
def test_threads_do_not_change_the_result(name: str, op: str) -> None:
    base = base_of(NATIVE_OPS[op])
    with tier(name):
        if OPS[base].product == "Conv":
            check(
                op, Node(base, (96, 40, 3, 3), pads=(1, 1, 1, 1)), noise((2, 40, 30, 20)), threads=3
            )
        else:
            check(op, Node(base, (300, 200)), noise((1, 200)), threads=3)
            check(op, Node(base, (300, 200)), noise((70, 200)), threads=3)


@pytest.mark.parametrize("name", TIERS)
def test_an_empty_batch_gives_empty_words(name: str) -> None:
    for op in FEW:
        native = NATIVE_OPS[op]
        size = (0, 40, 5, 7) if native.product == "Conv" else (0, 40)
        with tier(name):
            check(op, case(op, 40)[0], noise(size))


@pytest.mark.parametrize(
    ("op", "shape", "group", "next_size", "words"),
    [
        ("StepBinaryConvPack", (40, 4, 1, 1), 1, 3, "next needs one value, or one per output"),
        ("StepBinaryConvPack", (40, 32, 1, 1), 2, 1, "the outputs of a group have to fill words"),
        (
            "PackedStepBinaryConv",
            (64, 20, 1, 1),
            2,
            1,
            "the channels of a group have to fill words",
        ),
    ],
)
def test_a_malformed_node_is_an_error_that_says_why(op, shape, group, next_size, words) -> None:
    native = NATIVE_OPS[op]
    node = Node(base_of(native), shape, group=group)
    with pytest.raises(Exception, match=words):
        session(file_of(native, node, np.zeros(next_size, np.float32), 4))


@pytest.mark.parametrize("name", TIERS)
@pytest.mark.parametrize("op", FEW)
def test_an_output_without_a_name_is_left_out(name: str, op: str) -> None:
    node, x = case(op, 40)
    native, feed = NATIVE_OPS[op], {**node.feed(x), "x": given_to(node, x)}
    alone = onnx.load_model_from_string(
        file_of(native, node, np.zeros(1, np.float32), x.ndim, True)
    )
    with tier(name):
        expected = session(alone.SerializeToString()).run(None, feed)
        alone.graph.node[0].output.append("")
        assert np.array_equal(session(alone.SerializeToString()).run(None, feed), expected)


def test_words_that_do_not_fit_are_an_error() -> None:
    op = NATIVE_OPS["PackedStepBinaryConv"]
    runner = session(file_of(op, Node(base_of(op), (8, 40, 1, 1)), np.zeros(1, np.float32), 4))
    with pytest.raises(Exception, match="x has 1 words where the layer has 2"):
        runner.run(None, {"x": np.zeros((1, 1, 3, 3), np.uint32)})
    with pytest.raises(Exception, match=r"[Uu]nexpected input data type"):
        runner.run(None, {"x": np.zeros((1, 2, 3, 3), np.float32)})


def test_words_are_unpacked_again() -> None:
    above = np.random.default_rng(0).random((2, 37, 3, 4)) < 0.5
    for axis in (1, -1):
        channels = above.shape[axis]
        np.testing.assert_array_equal(
            unpack_activations(words_of(above, axis), channels, axis), above
        )
