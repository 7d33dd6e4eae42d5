"""Which layers move to `binarize.wide`, and that a file of both domains computes the same everywhere."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
import torch
from torch import nn

import binarize
from binarize.exporting.functions import DOMAIN, WIDE, append_functions
from binarize.exporting.passes import ChooseDomain
from binarize.kernels import computes_wide, installed, tier
from binarize.packing import pack_bits
from binarize.runtime import open_session, quiet_session

needs_kernels = pytest.mark.skipif(installed() is None, reason="no compiler was at hand")
POINT, WINDOW = (1, 1), (3, 3)


def chain(*layers: tuple[str, tuple[int, ...]]) -> ir.Model:
    """A graph of binarize ops, each on the output of the one before it, in ONNX's text form; (op, shape of
    its weight) or ("Relu", ())."""
    random, lines, constants, x = np.random.default_rng(0), [], {}, "x"
    for number, (op, shape) in enumerate(layers):
        y = f"v{number}" if number + 1 < len(layers) else "y"
        if not shape:
            lines.append(f"{y} = {op} ({x})")
        else:
            held = {
                "bits": pack_bits(random.random(shape) < 0.5),
                "scale": random.normal(size=shape[0]).astype(np.float32) / 8,
                "bias": random.normal(size=shape[0]).astype(np.float32),
            }
            if op.startswith("Step"):
                held["threshold"] = np.float32([0.1])
            constants |= {f"{kind}{number}": value for kind, value in held.items()}
            pad = shape[-1] // 2
            around = "" if "Linear" in op else (
                f", strides = [1, 1], pads = [{pad}, {pad}, {pad}, {pad}], dilations = [1, 1], group = 1"
            )  # fmt: skip
            given = ", ".join([x, *(f"{kind}{number}" for kind in held)])
            lines.append(f"{y} = binarize.{op} <shape = {list(shape)}{around}> ({given})")
        x = y
    rank = "n, c, h, w" if "Linear" not in layers[0][0] else "n, c"
    text = (
        f'<ir_version: 10, opset_import: ["" : 20, "binarize" : 1]>\n'
        f"g (float[{rank}] x) => (float[{rank}] y) {{ {' '.join(lines)} }}"
    )
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    return ir.from_proto(proto)


def domains(model: ir.Model) -> list[str]:
    """Of our ops, after the pass: its kernels everywhere, or with wide vectors alone."""
    assert ChooseDomain()(model).modified == any(node.domain == WIDE for node in model.graph)
    return ["wide" if node.domain == WIDE else "all" for node in model.graph if node.domain]


@pytest.mark.parametrize(
    ("layers", "wanted"),
    [
        ([("BinaryConv", (8, 31, *WINDOW))], ["wide"]),
        ([("BinaryConvRelu", (8, 32, *WINDOW))], ["all"]),
        ([("StepBinaryConv", (8, 8, *WINDOW)), ("StepBinaryConv", (8, 8, *POINT))], ["all", "all"]),
        ([("BinaryLinear", (4, 4))], ["all"]),
        # 1 x 1: behind kernels, if it has the channels and outputs
        ([("BinaryConv", (256, 128, *POINT))], ["wide"]),
        ([("BinaryConv", (128, 32, *WINDOW)), ("BinaryConv", (256, 128, *POINT))], ["all", "all"]),
        ([("BinaryConv", (127, 32, *WINDOW)), ("BinaryConv", (256, 127, *POINT))], ["all", "wide"]),
        ([("BinaryConv", (128, 32, *WINDOW)), ("BinaryConv", (255, 128, *POINT))], ["all", "wide"]),
        ([("BinaryConv", (128, 8, *WINDOW)), ("BinaryConv", (256, 128, *POINT))], ["wide", "wide"]),
    ],
)  # fmt: skip
def test_what_loses_moves(layers: list, wanted: list[str]) -> None:
    assert domains(chain(*layers)) == wanted


BOTH = [
    ("BinaryConvRelu", (32, 8, *WINDOW)),
    ("BinaryConvRelu", (40, 32, *WINDOW)),
    ("BinaryConv", (5, 40, *POINT)),
]


def test_what_unpacks_bits_is_there_once() -> None:
    model = chain(*BOTH)
    ChooseDomain()(model)
    append_functions(model)
    bodies = {(body.domain, body.name): ir.to_proto(body) for body in model.functions.values()}
    names = {"BinaryConv", "BinaryConvRelu"}
    assert set(bodies) == {(domain, name) for domain in (DOMAIN, WIDE) for name in names}
    unpacking = [
        key for key, body in bodies.items() if any(n.op_type == "Gather" for n in body.node)
    ]
    assert unpacking == [(WIDE, "BinaryConv")]
    called = [(n.domain, n.op_type) for n in bodies[DOMAIN, "BinaryConv"].node if n.domain]
    assert called == [(WIDE, "BinaryConv")]


@needs_kernels
@pytest.mark.parametrize("name", ["scalar", "avx2", "avx512", "amx", "neon", ""])
def test_every_tier_computes_a_file_of_both_domains(name: str, monkeypatch) -> None:
    model = chain(*BOTH)
    one = ir.to_proto(model)  # all in one domain
    ChooseDomain()(model)
    append_functions(model)
    file = ir.to_proto(model).SerializeToString()
    monkeypatch.setenv("BINARIZE_TIER", name)
    if name and tier() != name:
        pytest.skip("this CPU cannot run it")
    x = np.random.default_rng(1).normal(size=(2, 8, 6, 5)).astype(np.float32)
    stock = quiet_session(file, 1).run(None, {"x": x})[0]
    given = quiet_session(file, 1, kernels=True).run(None, {"x": x})[0]
    assert np.abs(given - stock).max() <= 2e-6 * np.abs(stock).max()
    kernels = quiet_session(one.SerializeToString(), 1, kernels=True).run(None, {"x": x})[0]
    assert np.abs(given - kernels).max() <= 2e-6 * np.abs(stock).max()


@needs_kernels
@pytest.mark.parametrize("name", ["scalar", "avx2", "avx512", "amx", "neon"])
def test_narrow_tiers_leave_the_second_domain_alone(name: str, monkeypatch) -> None:
    """Without its function, who computes a node is seen by whether a session can be made."""
    monkeypatch.setenv("BINARIZE_TIER", name)
    if tier() != name:
        pytest.skip("this CPU cannot run it")
    assert computes_wide() is (name in ("avx512", "amx"))
    model = chain(("BinaryConv", (4, 4, *WINDOW)))
    ChooseDomain()(model)
    model.opset_imports[WIDE] = 1
    file = ir.to_proto(model).SerializeToString()
    if computes_wide():
        quiet_session(file, 1, kernels=True)
    else:
        with pytest.raises(Exception, match=r"binarize\.wide"):
            quiet_session(file, 1, kernels=True)


@needs_kernels
def test_a_file_whose_layers_all_lose_runs_no_kernels(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BINARIZE_TIER", "scalar")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 4))
    result = binarize.export(binarize.convert(net, img_size=8), tmp_path / "net.onnx")
    assert result.parity == "exact"
    assert not open_session(tmp_path / "net.onnx", kernels=True).kernels
