"""Every op on every tier that this CPU has, against numpy and against the functions in the file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_nodes import ABSENT, Node, available, run, session, tier

from binarize import kernels
from binarize.exporting.functions import OPS

CONVOLUTIONS = [name for name, op in OPS.items() if op.product == "Conv"]
LINEAR = [name for name, op in OPS.items() if op.product == "Linear"]
PLAIN = [name for name, op in OPS.items() if not op.epilogue]
ROUNDED = {"Gelu", "Silu"}
SIZES = [1, 31, 32, 33, 63, 64, 65]
TIERS = available()

pytestmark = pytest.mark.skipif(not TIERS, reason=ABSENT)


def check(node: Node, x: np.ndarray, threads: int = 1) -> None:
    given, expected = run(node, x, threads), node.expected(x)
    assert given.dtype == np.float32
    assert given.shape == expected.shape
    if not OPS[node.op].binary:
        largest = max(np.abs(expected).max(initial=0), 0.1)
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-5 * largest)
    elif ROUNDED & set(node.epilogue):
        np.testing.assert_allclose(given, expected, rtol=3e-7, atol=3e-7)
    else:
        np.testing.assert_array_equal(given, expected)


def noise(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", TIERS)
@pytest.mark.parametrize("op", PLAIN)
@pytest.mark.parametrize("size", SIZES)
def test_word_boundaries(name: str, op: str, size: int) -> None:
    """Channels, outputs and pixels around the sizes of words and vectors."""
    with tier(name):
        if op in CONVOLUTIONS:
            check(Node(op, (size, size, 3, 3), pads=(1, 1, 1, 1)), noise((1, size, 5, 7)))
            check(Node(op, (3, 2, 1, 3), pads=(0, 1, 0, 1)), noise((2, 2, 2, size)))
            check(Node(op, (size, size, 1, 1)), noise((2, size, 1, 1)))
        else:
            check(Node(op, (size, size)), noise((size, size)))


@st.composite
def convolutions(draw) -> tuple[Node, np.ndarray]:
    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    group = draw(st.sampled_from([1, 1, 1, 2, 3]))
    channels, outputs = draw(st.integers(1, 130)), draw(st.integers(1, 130))
    kernel, strides, dilations = pair(1, 7), pair(1, 4), pair(1, 3)
    pads = (*pair(0, 4), *pair(0, 4))
    if draw(st.booleans()):  # ORT's Conv1d
        kernel, strides, dilations, pads = kernel[1:], strides[1:], dilations[1:], pads[1::2]
    least = [
        max(1, d * (k - 1) + 1 - pads[i] - pads[i + len(kernel)])
        for i, (k, d) in enumerate(zip(kernel, dilations, strict=True))
    ]
    size = [n + draw(st.integers(0, 20)) for n in least]
    op = draw(st.sampled_from(CONVOLUTIONS))
    node = Node(
        op,
        (outputs * group, channels, *kernel),
        strides,
        pads,
        dilations,
        group,
        draw(st.integers(0, 9)),
    )
    return node, noise((draw(st.integers(1, 3)), channels * group, *size))


@pytest.mark.parametrize("name", TIERS)
@settings(max_examples=60, deadline=None)
@given(drawn=convolutions())
def test_convolutions_of_any_shape(name: str, drawn: tuple[Node, np.ndarray]) -> None:
    with tier(name):
        check(*drawn)


@pytest.mark.parametrize("name", TIERS)
@settings(max_examples=40, deadline=None)
@given(
    op=st.sampled_from(LINEAR),
    outputs=st.integers(1, 300),
    inputs=st.integers(1, 300),
    lead=st.lists(st.integers(1, 40), min_size=0, max_size=2),
)
def test_linear_layers_of_any_shape(
    name: str, op: str, outputs: int, inputs: int, lead: list[int]
) -> None:
    with tier(name):
        check(Node(op, (outputs, inputs)), noise((*lead, inputs)))


@pytest.mark.parametrize("name", TIERS)
@pytest.mark.parametrize("op", [*PLAIN, "BinaryConvAddGelu", "SignBinaryLinearAddRelu"])
def test_threads_do_not_change_the_result(name: str, op: str) -> None:
    convolves = op in CONVOLUTIONS
    shape, size = ((70, 40, 3, 3), (3, 40, 30, 20)) if convolves else ((200, 300), (70, 300))
    node, x = Node(op, shape), noise(size)
    with tier(name):
        one = run(node, x)
        np.testing.assert_array_equal(run(node, x, threads=3), one)
        # nothing depends on batch-mates; a few rows are looked up where more are not
        few = 8 if name == "amx" and op.startswith("BinaryLinear") else 1
        np.testing.assert_array_equal(run(node, x[:few]), one[:few])


@pytest.mark.parametrize("name", TIERS)
@pytest.mark.parametrize("op", OPS)
def test_an_empty_batch_gives_an_empty_result(name: str, op: str) -> None:
    shape, size = ((3, 2, 3, 3), (0, 2, 4, 4)) if op in CONVOLUTIONS else ((3, 2), (0, 2))
    with tier(name):
        assert run(Node(op, shape), np.zeros(size, np.float32)).shape[:2] == (0, 3)


@pytest.mark.parametrize("name", TIERS)
@pytest.mark.parametrize("op", [op for op in PLAIN if OPS[op].binary])
def test_values_at_the_threshold(name: str, op: str) -> None:
    """0 and -0 count as the larger value where they equal the threshold, NaN as the smaller one."""
    values = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1.0], np.float32)
    shape = (2, 8, 1, 1) if op in CONVOLUTIONS else (2, 8)
    node = Node(op, shape)
    for boundary in ("shift", "threshold"):
        if boundary in node.constants:
            node.constants[boundary] = np.zeros_like(node.constants[boundary])
    x = values.reshape(1, 8, *[1] * (len(shape) - 2))
    with tier(name):
        check(node, x)


@pytest.mark.parametrize("name", TIERS)
@pytest.mark.parametrize(
    "op", [op for op in OPS if not (OPS[op].binary or ROUNDED & set(OPS[op].epilogue))]
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_goes_where_the_function_lets_it_go(name, op, value) -> None:
    shape, size = ((4, 5, 3, 3), (2, 5, 6, 6)) if op in CONVOLUTIONS else ((4, 5), (6, 5))
    node, x = Node(op, shape, pads=(1, 1, 1, 1)), noise(size)
    x[(0, 2, *[3] * (x.ndim - 2))] = value
    stock = run(node, x, kernels=False)
    with tier(name):
        given = run(node, x)
    np.testing.assert_array_equal(np.isfinite(given), np.isfinite(stock))


@pytest.mark.parametrize("op", OPS)
def test_the_function_in_the_file_says_the_same(op: str) -> None:
    convolves = op in CONVOLUTIONS
    node = Node(op, (9, 10, 3, 2), (2, 1), (1, 0, 2, 1)) if convolves else Node(op, (9, 10))
    x = noise((2, 10, 8, 9) if convolves else (4, 10))
    stock = run(node, x, kernels=False)
    np.testing.assert_allclose(stock, node.expected(x), rtol=1e-5, atol=1e-5)


def test_sessions_on_several_threads_stay_apart() -> None:
    """Scratch memory is shared between kernels: two sessions at once, and one session twice at once."""
    nodes = [
        Node("SignBinaryConv", (40, 33, 3, 3), pads=(1, 1, 1, 1)),
        Node("BinaryConv", (20, 33, 3, 3)),
    ]
    x = noise((2, 33, 17, 19))
    runners = [session(node.file(), threads=threads) for node in nodes for threads in (1, 2)]
    expected = [runner.run(None, {"x": x})[0] for runner in runners]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            futures = [pool.submit(runner.run, None, {"x": x}) for runner in runners * 2]
            for future, y in zip(futures, expected * 2, strict=True):
                np.testing.assert_array_equal(future.result()[0], y)


@pytest.mark.parametrize(
    ("name", "words"),
    [("sse9", 'BINARIZE_TIER is "sse9", and the tiers are'), ("neon", "BINARIZE_TIER")],
)
def test_a_tier_that_cannot_run_here_is_an_error(name: str, words: str) -> None:
    if name in TIERS:
        pytest.skip(f"{name} runs here")
    with tier(name), pytest.raises(Exception, match=words):
        session(Node("BinaryLinear", (1, 1)).file())


def test_digits_are_two_or_three(monkeypatch) -> None:
    node, x = Node("BinaryConv", (8, 16, 3, 3)), noise((1, 16, 5, 5))
    expected = run(node, x)
    for digits in ("", "2", "3"):
        monkeypatch.setenv("BINARIZE_DIGITS", digits)
        np.testing.assert_allclose(run(node, x), expected, rtol=0, atol=1e-3)
    monkeypatch.setenv("BINARIZE_DIGITS", "4")
    with pytest.raises(Exception, match='BINARIZE_DIGITS is "4", and has to be 2 or 3'):
        session(node.file())


@pytest.mark.parametrize("shape", [(64, 32, 3, 3), (64, 48)])
def test_activations_of_eight_bits_on_request(monkeypatch, shape: tuple[int, ...]) -> None:
    node = Node("BinaryConv" if len(shape) == 4 else "BinaryLinear", shape)
    x = noise((2, shape[1], 9, 9) if len(shape) == 4 else (20, shape[1]))
    expected, off = run(node, x), {}
    for bits in ("10", "8"):
        monkeypatch.setenv("BINARIZE_ACTIVATION_BITS", bits)
        off[bits] = np.abs(run(node, x) - expected).max() / np.abs(expected).max()
    # half a unit of the range, which is 8 times a value's standard deviation, in each of the products
    assert off["8"] < 0.02
    assert off["10"] < 0.005
    if kernels.tier() == "avx2":
        assert 1e-4 < off["10"] < off["8"]
    monkeypatch.setenv("BINARIZE_ACTIVATION_BITS", "4")
    with pytest.raises(Exception, match='BINARIZE_ACTIVATION_BITS is "4", and has to be 8 or 10'):
        session(node.file())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"strides": [0, 1]}, "strides has a value that is too small"),
        ({"pads": [0, 0]}, "pads needs 4 values"),
        ({"group": 3}, "cannot be shared out among the groups"),
        ({"shape": [4, 2, 99, 3]}, "bits is too short for shape"),
        ({"shape": [4, 2]}, "shape needs 3 or 4 dimensions"),
    ],
)
def test_a_malformed_node_is_an_error_that_says_why(change: dict, words: str) -> None:
    node = Node("SignBinaryConv", (4, 2, 3, 3))
    node.attributes |= change
    with pytest.raises(Exception, match=words):
        session(node.file())


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((1, 3, 9, 9), "x has 3 channels where the layer has 2"),
        ((1, 2, 2, 9), "smaller than the kernel"),
    ],
)
def test_an_input_that_does_not_fit_is_an_error_that_says_why(size: tuple, words: str) -> None:
    runner = session(Node("StepBinaryConv", (4, 2, 3, 3)).file())
    with pytest.raises(Exception, match=words):
        runner.run(None, {"x": noise(size)})


def test_the_kernels_are_what_runs() -> None:
    """Without its function a node means nothing to stock onnxruntime."""
    for op in OPS:
        convolves = op in CONVOLUTIONS
        node = Node(op, (3, 4, 1, 1) if convolves else (3, 4))
        with pytest.raises(Exception, match=op):
            session(node.file(with_function=False), kernels=False)
        x = noise((2, 4, 5, 6) if convolves else (2, 4))
        assert run(node, x, with_function=False).shape == (2, 3, *x.shape[2:])


@pytest.mark.parametrize("op", [op for op in OPS if "Add" in OPS[op].epilogue])
def test_a_residual_that_does_not_fit_is_an_error(op: str) -> None:
    convolves = op in CONVOLUTIONS
    node = Node(op, (3, 4, 1, 1) if convolves else (3, 4))
    feed = node.feed(noise((2, 4, 5, 6) if convolves else (2, 4)))
    runner = session(node.file())
    right = feed["residual"].copy()
    runner.run(None, feed)
    np.testing.assert_array_equal(feed["residual"], right)  # it is read, not written
    for wrong in (right[:1], right[:, :1], right[..., :1], np.concatenate([right, right])):
        if wrong.shape == right.shape:
            continue
        with pytest.raises(Exception, match="residual has to have the shape of the output"):
            runner.run(None, {**feed, "residual": np.ascontiguousarray(wrong)})


@pytest.mark.parametrize("name", TIERS)
@pytest.mark.parametrize(
    ("op", "lowest"),
    [
        ("StepBinaryLinearGelu", 0),
        ("BinaryLinearGelu", 0),
        ("BinaryLinearSilu", 0),
        ("StepBinaryLinearHardSwish", np.nan),
        ("BinaryLinearHardSigmoid", 0),
    ],
)
def test_activations_at_their_ends(name: str, op: str, lowest: float) -> None:
    """Of NaN, of infinities, and of what is so large that squares run over."""
    node = Node(op, (6, 1))
    node.constants["bias"] = np.float32([np.nan, np.inf, -np.inf, 3e38, -3e38, -0.0])
    node.constants["scale"] = np.zeros(6, np.float32)
    with tier(name):
        given = run(node, np.zeros((1, 1), np.float32))
    upper = [1, 1, 0.5] if "Sigmoid" in op else [np.inf, 3e38, 0]
    expected = [np.nan, upper[0], lowest, upper[1], 0, upper[2]]
    np.testing.assert_array_equal(given, np.float32([expected]))
