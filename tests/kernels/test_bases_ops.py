"""The ops of several bases on every tier: each base exact, added up in their order."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_nodes import ABSENT, Node, available, run, session, tier

from binarize.exporting.functions import BASES_OPS

SIZES = [1, 31, 32, 33, 63, 64, 65]
CONVOLUTIONS = [name for name, op in BASES_OPS.items() if op.product == "Conv"]
TIERS = available()
FAST = {"avx512", "amx"}
"""Tiers whose products of float inputs pay off with several bases; others leave them to the function."""

pytestmark = pytest.mark.skipif(not TIERS, reason=ABSENT)
every_tier = pytest.mark.parametrize("name", TIERS)
every_op = pytest.mark.parametrize("op", BASES_OPS)


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def check(node: Node, x: np.ndarray, threads: int = 1) -> None:
    """Of binary inputs kernels alone: without a function in the file nothing else could compute it."""
    alone = bool(node.kind.binary)
    given, expected = run(node, x, threads, with_function=not alone), node.expected(x)
    assert given.shape == expected.shape
    if node.kind.binary:
        np.testing.assert_array_equal(given, expected)
    else:
        largest = max(np.abs(expected).max(initial=0), 0.1)
        np.testing.assert_allclose(given, expected, rtol=0, atol=2e-5 * largest)


@every_tier
@every_op
@pytest.mark.parametrize("size", SIZES)
def test_word_boundaries(name, op, size):
    with tier(name):
        if op in CONVOLUTIONS:
            check(Node(op, (size, size, 3, 3), pads=(1, 1, 1, 1), bases=2), noise((1, size, 5, 7)))
            check(Node(op, (3, 2, 1, 3), pads=(0, 1, 0, 1), bases=3), noise((2, 2, 2, size)))
        else:
            check(Node(op, (size, size), bases=2), noise((size, size)))


@every_tier
@settings(max_examples=30, deadline=None)
@given(
    op=st.sampled_from(CONVOLUTIONS),
    bases=st.integers(1, 4),
    group=st.sampled_from([1, 1, 2, 3]),
    outputs=st.integers(1, 70),
    channels=st.integers(1, 70),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    flat=st.booleans(),
    count=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_convolutions_of_any_shape(
    name, op, bases, group, outputs, channels, kernel, strides, flat, count, seed
):
    rank = 1 if flat else 2
    shape = (outputs * group, channels, *kernel[:rank])
    pads, dilations = (1, 0, 2, 1)[: 2 * rank], (1, 2)[:rank]
    node = Node(op, shape, strides[:rank], pads, dilations, group, seed, bases)
    with tier(name):
        check(node, noise((count, channels * group, *(9, 11)[:rank])))


@every_tier
@settings(max_examples=20, deadline=None)
@given(
    op=st.sampled_from(sorted(set(BASES_OPS) - set(CONVOLUTIONS))),
    bases=st.integers(1, 4),
    outputs=st.integers(1, 200),
    inputs=st.integers(1, 200),
    lead=st.lists(st.integers(1, 20), min_size=0, max_size=2),
)
def test_linear_layers_of_any_shape(name, op, bases, outputs, inputs, lead):
    with tier(name):
        check(Node(op, (outputs, inputs), bases=bases), noise((*lead, inputs)))


@every_tier
@every_op
def test_threads_change_nothing_and_an_empty_batch_is_empty(name, op):
    shape, size = (
        ((70, 40, 3, 3), (3, 40, 30, 20)) if op in CONVOLUTIONS else ((200, 300), (70, 300))
    )
    node, x = Node(op, shape, bases=2), noise(size)
    with tier(name):
        np.testing.assert_array_equal(run(node, x, threads=3), run(node, x))
        assert run(node, x[:0]).shape[:2] == (0, shape[0])


@every_tier
@every_op
def test_float_inputs_are_left_to_the_function_where_that_is_faster(name, op):
    file = Node(op, (3, 2, 1, 1) if op in CONVOLUTIONS else (3, 2), bases=2).file(
        with_function=False
    )
    with tier(name):
        if BASES_OPS[op].binary or name in FAST:
            session(file)
        else:
            with pytest.raises(Exception, match="not a registered function/op"):
                session(file)


@every_op
def test_the_function_computes_the_same_up_to_rounding(op):
    shape, size = ((9, 5, 3, 3), (2, 5, 8, 9)) if op in CONVOLUTIONS else ((9, 33), (4, 33))
    node, x = Node(op, shape, bases=3), noise(size)
    own, function = run(node, x), run(node, x, kernels=False)
    np.testing.assert_allclose(own, function, rtol=0, atol=1e-5 * np.abs(function).max())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scale": np.ones((2, 3), np.float32)}, "one value per output"),
        ({"scale": np.ones(8, np.float32)}, "scale needs 2 dimensions"),
        ({"scale": np.ones((5, 4), np.float32)}, "too few or too many bases"),
        ({"scale": np.ones((0, 4), np.float32)}, "too few or too many bases"),
        ({"bits": np.zeros(3, np.uint8)}, "bits is too short"),
        ({"bias": np.ones(8, np.float32)}, "one value per output"),
    ],
)
def test_constants_that_do_not_fit_are_refused(change, words):
    node = Node("StepBinaryBasesLinear", (4, 8), bases=2)
    node.constants |= change
    with pytest.raises(Exception, match=words):
        session(node.file())


@every_op
def test_a_library_leaves_what_it_does_not_know_to_the_function(op):
    """As one that was built before there were several bases leaves these."""
    shape, size = ((9, 5, 3, 3), (2, 5, 8, 9)) if op in CONVOLUTIONS else ((9, 33), (4, 33))
    node, x = Node(op, shape, bases=2), noise(size)
    model = onnx.load_from_string(node.file())
    model.graph.node[0].op_type = model.functions[0].name = f"{op}OfTheFuture"
    given = session(model.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_array_equal(given, run(node, x, kernels=False))
