"""The float stem on every tier that this CPU has, against numpy in float64 and against its function."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_nodes import ABSENT, available, session, tier
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional as F

from binarize.exporting.functions import DOMAIN, STEM, VERSION, stem_function

TIERS = available()
pytestmark = pytest.mark.skipif(not TIERS, reason=ABSENT)


def constants(outputs: int, channels: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    weight = random.standard_normal((outputs, channels, 7, 7)).astype(np.float32)
    return {"weight": weight, "bias": 5 * random.standard_normal(outputs).astype(np.float32)}


def file(held: dict[str, np.ndarray]) -> bytes:
    """The model of a stem alone: x -> y."""
    free = [None] * 4
    node = helper.make_node(STEM, ["x", *held], ["y"], name="node", domain=DOMAIN)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, free)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, free)],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, VERSION)]
    functions = [ir.to_proto(stem_function(20))]
    model = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=10)
    return model.SerializeToString()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def run(held: dict[str, np.ndarray], x: np.ndarray, kernels: bool = True, threads: int = 1):
    return session(file(held), kernels, threads).run(None, {"x": x})[0]


def convolved(held: dict[str, np.ndarray], x: np.ndarray) -> torch.Tensor:
    """The first of the three ops, in float64."""
    image, weight, bias = (
        torch.from_numpy(a.astype(np.float64)) for a in (x, held["weight"], held["bias"])
    )
    return F.conv2d(image, weight, bias, stride=2, padding=3)


def expected(held: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return F.max_pool2d(convolved(held, x).relu(), 3, 2, 1).numpy()


def check(held: dict[str, np.ndarray], x: np.ndarray) -> None:
    given, truth = run(held, x), expected(held, x)
    assert given.dtype == np.float32
    assert given.shape == truth.shape
    largest = convolved(held, x).abs().max().item()  # ReLU may leave next to nothing of it
    np.testing.assert_allclose(given, truth, rtol=0, atol=5e-6 * largest)


@pytest.mark.parametrize("name", TIERS)
@pytest.mark.parametrize("outputs", [1, 15, 16, 17, 31, 32, 33, 63, 64, 65])
def test_numbers_of_outputs(name: str, outputs: int) -> None:
    with tier(name):
        check(constants(outputs, 3), noise(1, 3, 20, 23))


@pytest.mark.parametrize("name", TIERS)
@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 3),
    channels=st.integers(1, 4),
    outputs=st.integers(1, 40),
    height=st.integers(1, 130),
    width=st.integers(1, 70),
)
def test_images_of_any_size(name, count, channels, outputs, height, width) -> None:
    with tier(name):
        check(constants(outputs, channels), noise(count, channels, height, width))


@pytest.mark.parametrize("name", TIERS)
def test_threads_and_batch_mates_change_nothing(name: str) -> None:
    held, x = constants(20, 3), noise(3, 3, 150, 40)
    with tier(name):
        one = run(held, x)
        np.testing.assert_array_equal(run(held, x, threads=3), one)
        np.testing.assert_array_equal(run(held, x[1:2]), one[1:2])


@pytest.mark.parametrize("name", TIERS)
def test_an_empty_batch_gives_an_empty_result(name: str) -> None:
    with tier(name):
        assert run(constants(5, 3), noise(0, 3, 9, 9)).shape == (0, 5, 3, 3)


@pytest.mark.parametrize("name", TIERS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -3e38])
def test_what_is_not_finite_reaches_its_tile_and_no_more(name: str, value: float) -> None:
    held, x = constants(16, 3), noise(1, 3, 64, 64)
    before = expected(held, x)
    x[0, 1, 4, 4] = value
    with tier(name):
        given = run(held, x)
    assert given.shape == before.shape
    # of the 16 pooled rows and columns, those that no tile of the pixel's touches
    far = given[:, :, 6:, 6:], before[:, :, 6:, 6:]
    np.testing.assert_allclose(*far, rtol=0, atol=1e-4)


def test_the_function_in_the_file_says_the_same() -> None:
    held, x = constants(9, 3), noise(2, 3, 21, 18)
    np.testing.assert_allclose(run(held, x, kernels=False), expected(held, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight": np.zeros((4, 5, 7, 7), np.float32)}, "weight needs 1 to 4 channels"),
        ({"weight": np.zeros((4, 0, 7, 7), np.float32)}, "weight needs 1 to 4 channels"),
        ({"weight": np.zeros((4, 3, 5, 7), np.float32)}, r"weight has to be \[O, C, 7, 7\]"),
        ({"weight": np.zeros((4, 3, 49), np.float32)}, "weight needs 4 dimensions"),
        ({"weight": np.zeros((0, 3, 7, 7), np.float32)}, r"weight has to be \[O, C, 7, 7\]"),
        ({"bias": np.zeros(3, np.float32)}, "bias needs one value per output"),
        ({"bias": np.zeros((4, 1), np.float32)}, "bias needs one dimension"),
    ],
)
def test_a_malformed_node_is_an_error_that_says_why(change: dict, words: str) -> None:
    with pytest.raises(Exception, match=words):
        session(file(constants(4, 3) | change))


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((1, 2, 9, 9), "x has 2 channels where the weight has 3"),
        ((1, 3, 0, 9), "x is empty or too large"),
    ],
)
def test_an_input_that_does_not_fit_is_an_error_that_says_why(size: tuple, words: str) -> None:
    with pytest.raises(Exception, match=words):
        run(constants(4, 3), noise(*size))
