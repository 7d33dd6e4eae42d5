"""Predicted sizes against files: the tensors to the byte, the whole file within the limit."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
import pytest
import torch
from form_params import HERE
from torch import nn

import binarize
from binarize import api, rewrite
from binarize.exporting.size import TOLERANCE_BYTES, is_close, packed_size, payload
from binarize.layers import binarization_off
from binarize.models.fake import without_data
from binarize.rewrite import Options, SourceOptions

MODES = {
    "W1A32": {},
    "step": {"activations": "step"},
    "sign": {"activations": "sign", "structure": "reactnet"},
}
SMALL_FILE = 0.08
"""Of a file of 60 kB, which the limit says nothing about."""
FUNCTION = 4096
"""Bytes that the function of one op takes at most: which ops a file has is part of the allowance."""
SMALL_TENSORS = 400
"""Bytes of the shapes, axes and single numbers that are constants in the file."""


class Net(nn.Module):
    """A norm to fold into a float layer, one that stays, a layer used twice, indices, a wide head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.before, self.conv = nn.BatchNorm2d(8), nn.Conv2d(8, 24, 3)
        self.twice = nn.Linear(24, 24)
        self.head = nn.Linear(24, 1000)
        self.register_buffer("table", torch.arange(24).flip(0), persistent=False)
        for norm in (self.norm, self.before):
            nn.init.normal_(norm.bias)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = self.conv(self.before(x).relu()).relu().mean((2, 3))
        return self.head(self.twice(self.twice(x).relu())[:, self.table])


def net(**options) -> nn.Module:
    torch.manual_seed(0)
    return binarize.convert(Net().eval(), img_size=8, stem="keep", **options)


def tensors(file: Path) -> int:
    """Bytes of the constants in the file."""
    return sum(len(one.raw_data) for one in onnx.load(file).graph.initializer)


@pytest.mark.parametrize("mode", MODES)
def test_the_payload_is_what_the_file_stores(tmp_path: Path, mode: str) -> None:
    model = net(**MODES[mode])
    binarize.export(model, tmp_path / "m.onnx")
    with binarization_off(model):
        trace = rewrite.capture(model, (3, 8, 8))
    assert 0 <= tensors(tmp_path / "m.onnx") - payload(model, trace) < SMALL_TENSORS


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", HERE)
def test_a_small_network_in_every_form(tmp_path: Path, form: str, mode: str) -> None:
    model = binarize.convert("cifar_resnet20", pretrained=False, **MODES[mode])
    result = binarize.export(model, tmp_path / "m.onnx", form=form)
    assert abs(result.bytes_predicted / result.bytes - 1) <= SMALL_FILE
    assert result.bytes < 80_000  # 34 KB of them bits


@pytest.mark.parametrize("kind", ["float", "fp16", "int8", "1bit"])
def test_a_classifier_of_fewer_bits(tmp_path: Path, kind: str) -> None:
    result = binarize.export(net(), tmp_path / "m.onnx", classifier=kind)
    assert abs(result.bytes_predicted - result.bytes) <= FUNCTION


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "torchvision/mobilenet_v3_small"])
def test_a_larger_network(tmp_path: Path, name: str) -> None:
    model = binarize.convert(name, pretrained=False)
    result = binarize.export(model, tmp_path / "m.onnx")
    assert is_close(result.bytes_predicted, result.bytes)
    if name == "resnet18":
        assert result.bytes <= 3_650_000


def test_convert_predicts_what_export_writes(tmp_path: Path) -> None:
    saved = api.convert_to_run(
        "cifar_resnet20", Options(), SourceOptions(pretrained=False), out=tmp_path / "run"
    )
    result = binarize.export(tmp_path / "run", tmp_path / "model.onnx")
    assert abs(saved.totals.bytes_packed / result.bytes - 1) <= SMALL_FILE


def test_it_needs_no_values() -> None:
    def predicted() -> int:
        float_model = rewrite.open_float("cifar_resnet20", rewrite.SourceOptions(pretrained=False))
        conversion = rewrite.convert_float(float_model, Options(), values=False).conversion
        return packed_size(conversion.model, conversion.trace)

    real = predicted()
    with without_data():
        assert predicted() == real


@pytest.mark.parametrize("size", [100_000, 100_000_000])
def test_the_limit_is_two_per_cent_or_64_kb(size: int) -> None:
    limit = math.floor(max(0.02 * size, TOLERANCE_BYTES))
    assert is_close(size + limit, size)
    assert is_close(size - limit, size)
    assert not is_close(size + limit + 1, size)
    assert not is_close(size - limit - 1, size)
