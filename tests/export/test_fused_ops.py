"""Every op with an epilogue, in every form and at every opset: the op without it, then the epilogue in
numpy."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from form_params import STOCK

from binarize.exporting.forms import FORMS
from binarize.exporting.functions import DOMAIN, OPS, VERSION, needed
from binarize.exporting.passes.graph import add_constant
from binarize.packing import pack_bits

ACTIVATIONS = {
    "Relu": torch.relu,
    "Gelu": torch.nn.functional.gelu,
    "HardSwish": torch.nn.functional.hardswish,
    "Silu": torch.nn.functional.silu,
    "HardSigmoid": torch.nn.functional.hardsigmoid,
}
NO_ADD = {name for name in OPS if name.endswith(("HardSwish", "Silu", "HardSigmoid"))}
FUSED = [name for name, op in OPS.items() if op.epilogue]
FLOAT = ir.TensorType(ir.DataType.FLOAT)
AROUND = {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1}


def value(name: str, rank: int) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape([f"{name}{n}" for n in range(rank)]), type=FLOAT)


def answer(op: str, form: str, opset: int = 20, level=None, nan: bool = False) -> np.ndarray:
    """y of a file of that op alone; the operands are those of every op of its kind."""
    rng = np.random.default_rng(1)
    convolves = OPS[op].product == "Conv"
    weight = rng.random((16, 8, 3, 3) if convolves else (16, 8)) < 0.5
    scale, bias = rng.normal(size=(2, 16)).astype(np.float32)
    boundary = 0.1 * rng.normal(size=8 if OPS[op].binary == "Sign" else 1).astype(np.float32)
    x = rng.normal(size=(2, 8, 5, 4) if convolves else (2, 3, 8)).astype(np.float32)
    residual = rng.normal(size=(2, 16, 5, 4) if convolves else (2, 3, 16)).astype(np.float32)
    residual.flat[0] = np.nan if nan else 0.0
    constants = {"bits": pack_bits(weight), "scale": scale, "bias": bias}
    if OPS[op].binary:
        constants[OPS[op].inputs[4]] = boundary
    graph = ir.Graph([], [], nodes=[], opset_imports={"": opset, DOMAIN: VERSION}, name="one")
    values = [
        value("x", x.ndim),
        *(add_constant(graph, f"layer.{n}", v) for n, v in constants.items()),
    ]
    graph.inputs.append(values[0])
    feed = {"x": x}
    if "Add" in OPS[op].epilogue:
        values.append(value("residual", x.ndim))
        graph.inputs.append(values[-1])
        feed["residual"] = residual
    attributes = {"shape": list(weight.shape), **(AROUND if convolves else {})}
    node = ir.node(op, values, attributes, domain=DOMAIN, name="layer")
    node.outputs[0].name, node.outputs[0].type = "y", FLOAT
    node.outputs[0].shape = ir.Shape([None] * x.ndim)
    graph.append(node)
    graph.outputs.append(node.outputs[0])
    model = ir.Model(graph, ir_version=10)
    FORMS[form].apply(model, {"layer": (float(x.min()), float(x.max()))})
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    if level is not None:
        options.graph_optimization_level = level
    session = ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feed)[0], residual


def with_epilogue(y: np.ndarray, residual: np.ndarray, epilogue: tuple[str, ...]) -> np.ndarray:
    """What docs/op-spec.md says of the epilogue."""
    for each in epilogue:
        act = ACTIVATIONS.get(each)
        y = act(torch.from_numpy(y).double()).float().numpy() if act else y + residual
    return y


def check(op: str, form: str, **more) -> None:
    given, residual = answer(op, form, **more)
    plain, _ = answer(OPS[op].base, form, **more)
    expected = with_epilogue(plain, residual, OPS[op].epilogue)
    if OPS[op].binary and set(OPS[op].epilogue) <= {"Add", "Relu"}:
        assert np.array_equal(given, expected, equal_nan=True)
    else:  # onnxruntime makes one node of Conv, Add and Relu, which adds in another order
        np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", STOCK)
@pytest.mark.parametrize(
    ("op", "opset"),
    [(op, opset) for op in FUSED for opset in (18, 20, 25) if opset == 20 or op not in NO_ADD],
)
def test_an_ending_in_every_form(op: str, form: str, opset: int) -> None:
    check(op, form, opset=opset)


@pytest.mark.parametrize(
    "level", [ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL]
)
@pytest.mark.parametrize("op", [op for op in FUSED if "Add" in op])
def test_nan_stays_nan(op: str, level) -> None:
    given, _ = answer(op, "packed", level=level, nan=True)
    assert np.isnan(given.flat[0])
    assert np.isfinite(given.flat[1:]).all()


def test_a_body_stands_behind_the_one_that_it_calls() -> None:
    assert needed([("StepBinaryConvAddRelu", [8, 1]), ("BinaryLinear", [3, 3])]) == {
        "BinaryLinear": False,
        "StepBinaryConv": True,
        "StepBinaryConvAddRelu": True,
    }
    assert needed([("BinaryConvRelu", [3]), ("BinaryConv", [8])])["BinaryConv"] is False
