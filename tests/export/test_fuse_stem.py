"""The stem of a ResNet becomes one op, and nothing else does."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
import torch

import binarize
from binarize.exporting.functions import DOMAIN, STEM, VERSION
from binarize.exporting.passes import FuseStem

CONV = "kernel_shape = [7, 7], strides = [2, 2], pads = [3, 3, 3, 3]"
START = f"c = Conv <{CONV}> (x, w, b) r = Relu (c)"
POOL = "kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]"


def graph(
    conv: str = CONV, pool: str = POOL, body: str = "", bias: bool = True, channels: int = 3
) -> ir.Model:
    """Conv -> Relu -> MaxPool, or `body` in their place."""
    body = (
        body
        or f"c = Conv <{conv}> (x, w{', b' if bias else ''}) r = Relu (c) y = MaxPool <{pool}> (r)"
    )
    text = f"""<ir_version: 10, opset_import: ["" : 20]>
    stem (float[n, {channels}, 32, 32] x) => (float[n, 8, p, q] y) {{ {body} }}"""
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, shape in {"w": (8, channels, 7, 7), "b": (8,)}.items():
        value = random.standard_normal(shape).astype(np.float32)
        if name in body.split("MaxPool")[0]:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    return ir.from_proto(proto)


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("bias", [True, False])
def test_a_stem_becomes_one_op(bias: bool) -> None:
    model = graph(bias=bias)
    convolution = next(iter(model.graph))
    convolution.name = "stem.conv"
    assert FuseStem()(model).modified
    assert ops(model) == [STEM]
    node = next(iter(model.graph))
    assert node.name == "stem.conv"
    assert [value.name for value in node.inputs[:2]] == ["x", "w"]
    assert (node.inputs[2].const_value.numpy() == 0).all() != bias
    assert node.inputs[2].const_value.shape == (8,)
    assert (node.domain, node.version) == (DOMAIN, VERSION)
    assert [value.name for value in model.graph.outputs] == ["y"]
    assert not FuseStem()(model).modified


@pytest.mark.parametrize(
    "options",
    [
        {"conv": CONV.replace("pads = [3, 3, 3, 3]", "pads = [2, 3, 3, 3]")},
        {"conv": CONV.replace("strides = [2, 2]", "strides = [1, 2]")},
        {"conv": CONV.replace("pads = [3, 3, 3, 3]", 'auto_pad = "SAME_UPPER"')},
        {"conv": CONV + ", dilations = [2, 2]"},
        {"pool": POOL + ", ceil_mode = 1"},
        {"pool": POOL.replace("pads = [1, 1, 1, 1]", "pads = [0, 0, 1, 1]")},
        {"pool": POOL.replace("[3, 3]", "[2, 2]")},
        {"body": f"c = Conv <{CONV}> (x, w, b) r = Sigmoid (c) y = MaxPool <{POOL}> (r)"},
        {"body": f"{START} s = MaxPool <{POOL}> (r) t = MaxPool <{POOL}> (r) y = Add (s, t)"},
        {"body": f"{START} s, i = MaxPool <{POOL}> (r) f = Cast <to = 1> (i) y = Add (s, f)"},
        {"body": f"v = Neg (w) c = Conv <{CONV}> (x, v, b) r = Relu (c) y = MaxPool <{POOL}> (r)"},
    ],
)  # fmt: skip
def test_any_other_beginning_stays_as_it_is(options: dict[str, str]) -> None:
    model = graph(**options)
    before = ops(model)
    assert not FuseStem()(model).modified
    assert ops(model) == before


@pytest.mark.parametrize(("channels", "fuses"), [(1, True), (4, True), (5, False)])
def test_images_have_up_to_4_channels(channels: int, fuses: bool) -> None:
    assert FuseStem()(graph(channels=channels)).modified is fuses


@pytest.mark.slow
@pytest.mark.parametrize("form", ["packed", "inline"])
def test_a_resnet_has_it_in_the_packed_form(form: str, tmp_path) -> None:
    torch.manual_seed(0)
    model = binarize.convert("resnet18", pretrained=False, img_size=96)
    binarize.export(model, tmp_path / "model.onnx", form=form)
    file = onnx.load(tmp_path / "model.onnx")
    assert (file.graph.node[0].op_type == STEM) == (form == "packed")
    assert (STEM in {body.name for body in file.functions}) == (form == "packed")
