"""The ops with binary inputs in stock onnxruntime: equal to the reference in every bit."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper

from binarize.exporting.functions import DOMAIN, OPS, VERSION, function
from binarize.packing import pack_bits

Level = ort.GraphOptimizationLevel
LEVELS = [
    Level.ORT_DISABLE_ALL,
    Level.ORT_ENABLE_BASIC,
    Level.ORT_ENABLE_EXTENDED,
    Level.ORT_ENABLE_ALL,
]
CONVOLUTION = {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1}


def model(op: str, rank: int, constants: dict, opset: int, smooth: bool, **attributes) -> bytes:
    """One node of `op` with its function."""
    node = helper.make_node(op, ["x", *constants], ["y"], domain=DOMAIN, **attributes)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * rank) for n in "xy"]
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    body = onnx.FunctionProto()
    body.ParseFromString(ir.to_proto(function(op, opset, smooth)).SerializeToString())
    made = helper.make_model(
        helper.make_graph([node], op, ends[:1], ends[1:], tensors),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)],
        functions=[body],
        ir_version=10,
    )
    onnx.checker.check_model(made)
    return made.SerializeToString()


def run(content: bytes, x: np.ndarray, level=Level.ORT_ENABLE_ALL) -> np.ndarray:
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def case(op: str, channels: int, outputs: int = 6, kernel: int = 3, opset: int = 20, **attributes):
    """(content, x, y by the readable reference) with random operands; zeros are among x."""
    rng = np.random.default_rng(channels)
    convolves = OPS[op].product == "Conv"
    if convolves:
        attributes = CONVOLUTION | attributes
    group = attributes.get("group", 1)
    weight = rng.random((outputs, channels // group, *([kernel] * 2 if convolves else []))) < 0.5
    scale, bias = rng.normal(size=(2, outputs)).astype(np.float32)
    boundary = rng.normal(size=channels if OPS[op].binary == "Sign" else 1).astype(np.float32)
    x = rng.normal(size=(2, channels, 7, 6) if convolves else (2, 3, channels)).astype(np.float32)
    if OPS[op].binary == "Step":
        x.flat[::5] = boundary  # on the decision boundary
    constants = dict(
        zip(OPS[op].inputs[1:], [pack_bits(weight), scale, bias, boundary], strict=True)
    )
    content = model(op, x.ndim, constants, opset, False, shape=list(weight.shape), **attributes)
    b = binary(op, x, boundary)
    sums = product(torch.from_numpy(b).double(), weight, attributes).numpy().astype(np.float32)
    along = (-1, 1, 1) if convolves else (-1,)
    return content, x, sums * scale.reshape(along) + bias.reshape(along)


def binary(op: str, x: np.ndarray, boundary: np.ndarray) -> np.ndarray:
    if OPS[op].binary == "Step":
        return np.where(x >= boundary, 1, 0).astype(np.float32)
    shift = boundary.reshape(-1, 1, 1) if OPS[op].product == "Conv" else boundary
    return np.where(x + shift >= 0, 1, -1).astype(np.float32)


def product(b: torch.Tensor, weight: np.ndarray, attributes: dict) -> torch.Tensor:
    signs = torch.from_numpy(np.where(weight, 1.0, -1.0))
    if not attributes:
        return F.linear(b, signs)
    top, left, bottom, right = attributes["pads"]
    return F.conv2d(
        F.pad(b, (left, right, top, bottom)),
        signs,
        stride=attributes["strides"],
        dilation=attributes["dilations"],
        groups=attributes["group"],
    )


BINARY = [name for name, op in OPS.items() if op.binary and not op.epilogue]
CONVOLUTIONS = [name for name in BINARY if OPS[name].product == "Conv"]


@pytest.mark.parametrize("channels", [1, 31, 32, 33, 63, 64, 65])
@pytest.mark.parametrize("op", BINARY)
def test_every_bit_is_the_reference_s(op: str, channels: int) -> None:
    content, x, expected = case(op, channels)
    assert np.array_equal(run(content, x), expected)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("op", BINARY)
def test_at_every_level_of_optimisation(op: str, level) -> None:
    content, x, expected = case(op, 64, outputs=16)
    assert np.array_equal(run(content, x, level), expected)


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [2, 1]},
        {"pads": [0, 2, 1, 0]},
        {"dilations": [2, 1]},
        {"group": 3},
        {"pads": [0] * 4, "kernel": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("op", CONVOLUTIONS)
def test_convolutions_with_any_attributes(op: str, attributes: dict) -> None:
    content, x, expected = case(op, 9, **attributes)
    assert np.array_equal(run(content, x), expected)


@pytest.mark.parametrize("opset", [18, 23, 25])
@pytest.mark.parametrize("op", BINARY)
def test_at_every_opset(op: str, opset: int) -> None:
    content, x, expected = case(op, 5, opset=opset)
    assert np.array_equal(run(content, x), expected)


@pytest.mark.parametrize(("op", "expected"), [("Sign", [1, 1, -1]), ("Step", [1, 1, 0])])
def test_zero_counts_as_the_larger_value(op: str, expected: list[float]) -> None:
    one = np.ones(1, np.float32)
    constants = [pack_bits(np.array([[True]])), one, 0 * one, 0 * one]
    named = dict(zip(OPS[f"{op}BinaryLinear"].inputs[1:], constants, strict=True))
    content = model(f"{op}BinaryLinear", 2, named, 20, False, shape=[1, 1])
    x = np.array([[0.0], [-0.0], [-1e-30]], np.float32)
    assert run(content, x).reshape(-1).tolist() == expected


@pytest.mark.parametrize(
    ("op", "expected"), [("Sign", [-1, -0.0625, 0.125, 1]), ("Step", [0, 0.4375, 0.625, 1])]
)
def test_the_clip_twin_has_a_slope(op: str, expected: list[float]) -> None:
    one = np.ones(1, np.float32)
    constants = [pack_bits(np.array([[True]])), one, 0 * one, 0 * one]
    named = dict(zip(OPS[f"{op}BinaryLinear"].inputs[1:], constants, strict=True))
    content = model(f"{op}BinaryLinear", 2, named, 20, True, shape=[1, 1])
    x = np.array([[-9.0], [-0.25], [0.5], [9.0]], np.float32)
    assert run(content, x).reshape(-1).tolist() == expected
