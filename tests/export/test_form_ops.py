"""One op at a time in every form, against the packed one, whose meaning test_ops and test_binary_ops hold."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binarize.exporting.forms import FORMS
from binarize.exporting.forms.int8 import quantisation
from binarize.exporting.functions import DOMAIN, OPS, VERSION
from binarize.exporting.passes.graph import add_constant
from binarize.packing import pack_bits

PLAIN = [name for name, op in OPS.items() if not op.epilogue]
OTHERS = ["inline", "int8"]
SETTINGS = settings(max_examples=12, deadline=None)


def model(op: str, weight: np.ndarray, times: int = 1, opset: int = 20, **attributes) -> ir.Model:
    """A graph of the op, or of several that read the same constants, one after another."""
    rng = np.random.default_rng(0)
    outputs, channels = len(weight), weight.shape[1] * attributes.get("group", 1)
    scale, bias = rng.normal(size=(2, outputs)).astype(np.float32)
    boundary = rng.normal(size=channels if OPS[op].binary == "Sign" else 1).astype(np.float32)
    constants = {"bits": pack_bits(weight), "scale": scale, "bias": bias, "split": boundary}
    graph = ir.Graph([], [], nodes=[], opset_imports={"": opset, DOMAIN: VERSION}, name="one")
    rank = weight.ndim if OPS[op].product == "Conv" else 3
    x = ir.Value(name="x", shape=ir.Shape([f"d{n}" for n in range(rank)]), type=FLOAT)
    graph.inputs.append(x)
    kept = list(constants.items())[: len(OPS[op].inputs) - 1]
    values = [add_constant(graph, f"layer.{name}", of) for name, of in kept]
    for number in range(times):
        name = "layer" if number == 0 else f"layer@{number + 1}"
        attributes = {"shape": list(weight.shape), **attributes}
        node = ir.node(op, [x, *values], attributes, domain=DOMAIN, name=name)
        x = node.outputs[0]
        x.name, x.type = f"y{number}", FLOAT
        x.shape = ir.Shape([f"e{n}" for n in range(rank)])
        graph.append(node)
    graph.outputs.append(x)
    return ir.Model(graph, ir_version=10)


FLOAT = ir.TensorType(ir.DataType.FLOAT)


def answer(built: ir.Model, form: str, x: np.ndarray, ranges=None) -> np.ndarray:
    FORMS[form].apply(built, ranges)
    proto = ir.to_proto(built)
    onnx.checker.check_model(proto)
    if form != "packed":
        assert not proto.functions
        assert {node.domain for node in proto.graph.node} == {""}
        assert [entry.domain for entry in proto.opset_import] == [""]
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    content = proto.SerializeToString()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def same(form: str, op: str, weight: np.ndarray, x: np.ndarray, **attributes) -> None:
    """Equal to packed: in every bit where sums are of integers, and to rounding else."""
    expected = answer(model(op, weight, **attributes), "packed", x)
    quantised = FORMS[form].quantises(model(op, weight, **attributes))
    span = (float(x.min()), float(x.max()))
    built = model(op, weight, **attributes)
    scale = np.abs(built.graph.initializers["layer.scale"].const_value.numpy()).max()
    given = answer(built, form, x, {"layer": span})
    if OPS[op].binary:
        assert np.array_equal(given, expected)
    elif quantised:
        most = math.prod(weight.shape[1:]) * scale * quantisation(*span)[0] / 2
        assert np.abs(given - expected).max() <= 1.001 * most + 1e-5
    else:
        np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", OTHERS)
@pytest.mark.parametrize("op", [name for name in PLAIN if OPS[name].product == "Conv"])
@SETTINGS
@given(
    seed=st.integers(0, 99),
    groups=st.integers(1, 2),
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 5),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.integers(1, 2),
    batch=st.integers(1, 3),
)
def test_a_convolution_is_the_packed_one(
    form, op, seed, groups, inputs, outputs, kernel, stride, padding, dilation, batch
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.random((groups * outputs, inputs, *kernel)) < 0.5
    x = rng.normal(size=(batch, groups * inputs, 7, 6)).astype(np.float32)
    same(
        form,
        op,
        weight,
        x,
        strides=list(stride),
        pads=[*padding, *padding],
        dilations=[dilation, dilation],
        group=groups,
    )


@pytest.mark.parametrize("form", OTHERS)
@pytest.mark.parametrize("op", [name for name in PLAIN if OPS[name].product == "Linear"])
@SETTINGS
@given(seed=st.integers(0, 99), inputs=st.integers(1, 70), outputs=st.integers(1, 9))
def test_a_linear_layer_is_the_packed_one(form, op, seed, inputs, outputs) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.random((outputs, inputs)) < 0.5
    same(form, op, weight, rng.normal(size=(2, 3, inputs)).astype(np.float32))


@pytest.mark.parametrize("axes", [1, 3])
@pytest.mark.parametrize("op", [name for name in PLAIN if OPS[name].product == "Conv"])
@pytest.mark.parametrize("form", OTHERS)
def test_convolutions_over_one_and_three_axes(form: str, op: str, axes: int) -> None:
    rng = np.random.default_rng(axes)
    weight = rng.random((4, 3, *[3] * axes)) < 0.5
    x = rng.normal(size=(2, 3, *[5] * axes)).astype(np.float32)
    ones = [1] * axes
    same(form, op, weight, x, strides=ones, pads=ones * 2, dilations=ones, group=1)


@pytest.mark.parametrize("opset", [18, 23, 25])
@pytest.mark.parametrize("op", PLAIN)
@pytest.mark.parametrize("form", OTHERS)
def test_at_every_opset(form: str, op: str, opset: int) -> None:
    rng = np.random.default_rng(opset)
    if OPS[op].product == "Linear":
        same(
            form, op, rng.random((5, 9)) < 0.5, np.float32(rng.normal(size=(1, 2, 9))), opset=opset
        )
        return
    more = {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1, "opset": opset}
    same(
        form, op, rng.random((5, 3, 3, 3)) < 0.5, np.float32(rng.normal(size=(1, 3, 4, 4))), **more
    )


@pytest.mark.parametrize("op", PLAIN)
@pytest.mark.parametrize("form", OTHERS)
def test_a_weight_that_is_used_twice_is_stored_once(form: str, op: str) -> None:
    rng = np.random.default_rng(0)
    more = {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1}
    convolves = OPS[op].product == "Conv"
    weight = rng.random((4, 4, *([3, 3] if convolves else []))) < 0.5
    more = more if convolves else {}
    x = rng.normal(size=(2, 4, 5, 5) if convolves else (2, 3, 4)).astype(np.float32)
    expected = answer(model(op, weight, times=2, **more), "packed", x)
    built = model(op, weight, times=2, **more)
    given = answer(built, form, x, {"layer": (-9.0, 9.0), "layer@2": (-99.0, 99.0)})
    bits = [name for name in built.graph.initializers if "bits" in name]
    assert bits == ["layer.bits"]
    if OPS[op].binary:
        assert np.array_equal(given, expected)
    elif form == "inline":
        np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("low", "high", "zero"), [(0, 2.55, -128), (-1, 1, 0), (-2.55, 0, 127), (1, 2, -128)]
)
def test_the_grid_has_zero_on_it_and_reaches_both_ends(low: float, high: float, zero: int) -> None:
    step, offset = quantisation(low, high)
    assert abs(offset - zero) <= 1
    assert (127 - offset + 0.51) * step >= high
    assert (-128 - offset - 0.51) * step <= min(low, 0)


def test_an_input_that_is_always_zero_has_a_grid() -> None:
    assert quantisation(0.0, 0.0) == (1.0, -128)
