"""Weights of several bases in files: bits of all of them in one node, one product in stock onnxruntime."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from form_params import needs_kernels
from onnx import TensorProto, helper
from torch import nn

import binarize
from binarize.errors import ExportError
from binarize.exporting.functions import BASES_OPS, DOMAIN, DOMAINS, OPS, VERSION, function
from binarize.layers import binary_weights
from binarize.packing import pack_bits, unpack_bits

SIZES = [1, 31, 32, 33, 63, 64, 65]
CONVOLUTION = {"strides": [2, 1], "pads": [1, 0, 2, 1], "dilations": [1, 2], "group": 1}
ALL, NOTHING = ort.GraphOptimizationLevel.ORT_ENABLE_ALL, ort.GraphOptimizationLevel.ORT_DISABLE_ALL


def case(op: str, size: int, bases: int = 2, group: int = 1):
    """(content, x, y by the readable reference, in float64)."""
    rng = np.random.default_rng(size)
    kind, convolves = BASES_OPS[op], BASES_OPS[op].product == "Conv"
    shape = (6, size // group, *([3, 2] if convolves else []))
    attributes = CONVOLUTION | {"group": group} if convolves else {}
    signs = rng.random((bases, *shape)) < 0.5
    scale = rng.normal(size=(bases, 6)).astype(np.float32)
    bias = rng.normal(size=6).astype(np.float32)
    x = rng.normal(size=(2, size, 7, 6) if convolves else (2, 3, size)).astype(np.float32)
    boundary = rng.normal(size=size if kind.binary == "Sign" else 1).astype(np.float32)
    constants = [pack_bits(signs), scale, bias, *([boundary] if kind.binary else [])]
    named = dict(zip(kind.inputs[1:], constants, strict=True))
    content = file_of(op, x.ndim, named, shape=list(shape), **attributes)

    b = x.astype(np.float64)
    if kind.binary == "Step":
        b = np.where(x >= boundary, 1.0, 0.0)
    elif kind.binary:
        shift = boundary.reshape(-1, 1, 1) if convolves else boundary
        b = np.where(x + shift >= 0, 1.0, -1.0)
    along = scale.astype(np.float64).reshape(bases, 6, *[1] * (len(shape) - 1))
    weight = torch.from_numpy((np.where(signs, 1.0, -1.0) * along).sum(0))
    given = torch.from_numpy(b)
    if convolves:
        padded = F.pad(given, (0, 1, 1, 2))
        y = F.conv2d(padded, weight, None, (2, 1), 0, (1, 2), group).numpy()
        return content, x, y + bias.reshape(-1, 1, 1)
    return content, x, F.linear(given, weight).numpy() + bias


def file_of(op: str, rank: int, constants: dict, opset: int = 20, **attributes) -> bytes:
    node = helper.make_node(op, ["x", *constants], ["y"], domain=DOMAIN, **attributes)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * rank) for n in "xy"]
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    body = onnx.FunctionProto()
    body.ParseFromString(ir.to_proto(function(op, opset)).SerializeToString())
    made = helper.make_model(
        helper.make_graph([node], op, ends[:1], ends[1:], tensors),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)],
        functions=[body],
        ir_version=10,
    )
    onnx.checker.check_model(made)
    return made.SerializeToString()


def run(content: bytes, x: np.ndarray, level=ALL) -> np.ndarray:
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    return ort.InferenceSession(content, options).run(None, {"x": x})[0]


def near(given: np.ndarray, expected: np.ndarray) -> None:
    assert given.shape == expected.shape
    assert np.abs(given - expected).max() <= 2e-6 * max(np.abs(expected).max(), 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("op", BASES_OPS)
def test_the_function_is_a_product_by_the_sum(op, size):
    content, x, expected = case(op, size)
    near(run(content, x), expected)


@pytest.mark.parametrize("bases", [2, 3, 4])
@pytest.mark.parametrize("op", BASES_OPS)
def test_of_any_number_of_bases_optimised_or_not(op, bases):
    content, x, expected = case(op, 5, bases)
    for level in (ALL, NOTHING):
        near(run(content, x, level), expected)


@pytest.mark.parametrize("op", [op for op in BASES_OPS if "Conv" in op])
def test_in_groups(op):
    content, x, expected = case(op, 9, group=3)
    near(run(content, x), expected)


class Net(nn.Module):
    """Convolutions, one of them with a norm behind it, and linear layers on rows and on sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 9, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(9)
        self.rows = nn.Linear(8, 16)
        self.flat = nn.Linear(1152, 7)
        self.head = nn.Linear(7, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(torch.relu(self.stem(x)))))
        x = torch.relu(self.rows(x))
        return self.head(torch.relu(self.flat(x.flatten(1))))


def converted(activations: str = "float", bases: int = 2) -> nn.Module:
    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        net.norm.weight.normal_()
        net.norm.running_mean.normal_()
    return binarize.convert(net, img_size=8, bases=bases, activations=activations).eval()


@pytest.mark.parametrize("form", ["packed", "inline"])
@pytest.mark.parametrize("activations", ["float", "step", "sign"])
def test_a_file_computes_what_the_model_computes(activations, form, tmp_path):
    result = binarize.export(converted(activations), tmp_path / "net.onnx", form=form)
    assert result.parity == "exact"
    assert result.max_abs_diff <= 2e-6 * result.max_abs_logit


def test_a_weight_is_one_node_with_the_bits_of_all_bases(tmp_path):
    model = converted(bases=3)
    binarize.export(model, tmp_path / "net.onnx")
    file = onnx.load(tmp_path / "net.onnx")
    own = {node.name: node.op_type for node in file.graph.node if node.domain in DOMAINS}
    products = {"conv": "Conv", "rows": "Linear", "flat": "Linear"}
    assert own == {name: f"BinaryBases{product}" for name, product in products.items()}
    assert sorted(body.name for body in file.functions) == sorted(set(own.values()))
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in file.graph.initializer}
    for name, module, parameter, binarizer in binary_weights(model):
        frozen = binarizer.frozen(module._parameters[parameter])
        bits = unpack_bits(stored[f"{name}.bits"], tuple(frozen.positive.shape))
        assert np.array_equal(bits, frozen.positive.numpy())
        assert stored[f"{name}.scale"].shape == tuple(frozen.scale.shape)
    conversion = {entry.key: entry.value for entry in file.metadata_props}["binarize.conversion"]
    assert json.loads(conversion)["bases"] == 3


@pytest.mark.parametrize("activations", ["float", "step"])
def test_stock_onnxruntime_computes_one_product_a_layer(activations, tmp_path):
    binarize.export(converted(activations), tmp_path / "net.onnx")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    ort.InferenceSession(tmp_path / "net.onnx", options, providers=["CPUExecutionProvider"])
    left = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert not {"Gather", "Cast", "ReduceSum", "Neg", "Slice", "Range", "Concat"} & set(left)
    products = {"Conv", "FusedConv", "MatMul", "FusedMatMul", "Gemm", "FusedGemm"}
    assert sum(left[op] for op in products) == 5


def test_one_base_is_the_file_that_it_always_was(tmp_path):
    binarize.export(converted(bases=1), tmp_path / "net.onnx")
    file = onnx.load(tmp_path / "net.onnx")
    assert {node.op_type for node in file.graph.node if node.domain in DOMAINS} <= set(OPS)
    assert all(len(t.dims) < 2 for t in file.graph.initializer if t.name.endswith(".scale"))


@needs_kernels
def test_the_native_form_holds_them_and_packs_nothing_beside_them(tmp_path):
    result = binarize.export(converted("step"), tmp_path / "net.onnx", form="native")
    assert result.parity == "exact"
    file = onnx.load(tmp_path / "net.onnx")
    own = {node.op_type for node in file.graph.node if node.domain in DOMAINS}
    assert own == {"StepBinaryBasesConv", "StepBinaryBasesLinear"}
    assert not file.functions


@pytest.mark.parametrize(
    ("form", "activations"),
    [("int8", "step"), ("int8", "float"), pytest.param("native", "float", marks=needs_kernels)],
)
def test_forms_that_cannot_hold_them_are_refused(form, activations, tmp_path):
    with pytest.raises(ExportError) as caught:
        binarize.export(converted(activations), tmp_path / "net.onnx", form=form)
    words = f'the {form} form cannot hold the several bases of layer "conv"'
    assert (caught.value.message, caught.value.hint) == (
        words,
        "take --form packed or --form inline",
    )
    assert list(tmp_path.iterdir()) == []
