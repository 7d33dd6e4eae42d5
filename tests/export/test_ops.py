"""The model-local functions, run by stock onnxruntime, against the readable reference."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from binarize.exporting.functions import DOMAIN, VERSION, fill_bytes, function
from binarize.packing import pack_bits

SIZES = (1, 31, 32, 33, 63, 64, 65)
FLOAT = ["BinaryConv", "BinaryLinear"]
SETTINGS = settings(max_examples=25, deadline=None)


def run(
    op: str,
    x: np.ndarray,
    weight: np.ndarray,
    scale,
    bias,
    opset: int = 20,
    whole: bool = False,
    **attributes,
):
    """One node of `op` with its function, in stock onnxruntime. `weight` is a boolean array."""
    constants = {"bits": pack_bits(weight), "scale": scale, "bias": bias}
    node = helper.make_node(
        op, ["x", *constants], ["y"], domain=DOMAIN, shape=list(weight.shape), **attributes
    )
    graph = helper.make_graph(
        [node],
        op,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * x.ndim)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * x.ndim)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    body = onnx.FunctionProto()
    body.ParseFromString(
        __import__("onnx_ir").to_proto(function(op, opset, whole=whole)).SerializeToString()
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)],
        functions=[body],
        ir_version=10,
    )
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x})[0]


def operands(seed: int, outputs: int, *rest: int):
    rng = np.random.default_rng(seed)
    weight = rng.random((outputs, *rest)) < 0.5
    scale = rng.normal(size=outputs).astype(np.float32)  # of both signs, as folding leaves it
    bias = rng.normal(size=outputs).astype(np.float32)
    return rng, weight, scale, bias


def floats(weight: np.ndarray, scale: np.ndarray) -> torch.Tensor:
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return torch.from_numpy(np.where(weight, column, -column))


@pytest.mark.parametrize("inputs", SIZES)
@pytest.mark.parametrize("outputs", [1, 5, 33])
def test_linear_at_awkward_sizes(inputs: int, outputs: int) -> None:
    rng, weight, scale, bias = operands(inputs, outputs, inputs)
    x = rng.normal(size=(3, inputs)).astype(np.float32)
    expected = F.linear(torch.from_numpy(x), floats(weight, scale), torch.from_numpy(bias))
    np.testing.assert_allclose(
        run("BinaryLinear", x, weight, scale, bias), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("op", FLOAT)
def test_the_shorter_body_is_the_same_for_weights_that_fill_their_bytes(op: str) -> None:
    convolves = op == "BinaryConv"
    rng, weight, scale, bias = operands(3, 6, 4, *([3, 3] if convolves else []))
    x = rng.normal(size=(2, 4, 5, 5) if convolves else (2, 4)).astype(np.float32)
    more = {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1}
    more = more if convolves else {}
    whole, cut = (run(op, x, weight, scale, bias, whole=one, **more) for one in (True, False))
    assert np.array_equal(whole, cut)


@pytest.mark.parametrize(
    ("shapes", "whole"), [([], True), ([[2, 4]], True), ([[8], [3, 3]], False)]
)
def test_one_weight_that_leaves_bits_over_decides(shapes: list[list[int]], whole: bool) -> None:
    assert fill_bytes(shapes) is whole


@SETTINGS
@given(
    seed=st.integers(0, 99),
    groups=st.integers(1, 3),
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 5),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=st.integers(1, 2),
    batch=st.integers(1, 3),
)
def test_convolution_with_any_attributes(
    seed, groups, inputs, outputs, kernel, stride, padding, dilation, batch
) -> None:
    rng, weight, scale, bias = operands(seed, groups * outputs, inputs, *kernel)
    x = rng.normal(size=(batch, groups * inputs, 9, 8)).astype(np.float32)
    expected = F.conv2d(
        torch.from_numpy(x),
        floats(weight, scale),
        torch.from_numpy(bias),
        stride,
        padding,
        dilation,
        groups,
    )
    given_ = run(
        "BinaryConv",
        x,
        weight,
        scale,
        bias,
        strides=list(stride),
        pads=[*padding, *padding],
        dilations=[dilation, dilation],
        group=groups,
    )
    np.testing.assert_allclose(given_, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axes", [1, 3])
def test_convolution_over_one_and_three_axes(axes: int) -> None:
    rng, weight, scale, bias = operands(0, 4, 3, *[3] * axes)
    x = rng.normal(size=(2, 3, *[6] * axes)).astype(np.float32)
    convolve = {1: F.conv1d, 3: F.conv3d}[axes]
    expected = convolve(
        torch.from_numpy(x), floats(weight, scale), torch.from_numpy(bias), padding=1
    )
    ones = [1] * axes
    result = run(
        "BinaryConv", x, weight, scale, bias, strides=ones, pads=ones * 2, dilations=ones, group=1
    )
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("opset", [18, 20, 23, 25])
@pytest.mark.parametrize("op", FLOAT)
def test_functions_hold_at_every_opset(op: str, opset: int) -> None:
    rng, weight, scale, bias = operands(opset, 3, 5, *([2, 2] if op == "BinaryConv" else []))
    if op == "BinaryConv":
        x = rng.normal(size=(1, 5, 4, 4)).astype(np.float32)
        more = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
        expected = F.conv2d(torch.from_numpy(x), floats(weight, scale), torch.from_numpy(bias))
    else:
        x, more = rng.normal(size=(1, 5)).astype(np.float32), {}
        expected = F.linear(torch.from_numpy(x), floats(weight, scale), torch.from_numpy(bias))
    result = run(op, x, weight, scale, bias, opset, **more)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_nan_goes_where_it_goes_in_the_standard_op() -> None:
    _, weight, scale, bias = operands(0, 2, 3)
    x = np.array([[np.nan, 0, 0], [1, 2, 3]], np.float32)
    result = run("BinaryLinear", x, weight, scale, bias)
    assert np.isnan(result[0]).all()
    assert np.isfinite(result[1]).all()
