"""Files of models with masks, index tables and norms that stay: as large as what they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from form_params import HERE, logits
from onnx import TensorProto
from torch import nn

import binarize
from binarize.exporting.size import packed_size
from binarize.models.fake import without_data
from binarize.rewrite import Options, SourceOptions, convert_float, open_float

TOKENS, WIDTH = 100, 40


class Windows(nn.Module):
    """Attention as Swin has it, twice: a mask, a table of biases and its indices, norms before layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 1)
        self.blocks = nn.ModuleList([Window(), Window()])
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


class Window(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv = nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.bias = nn.Parameter(torch.randn(400))
        places = torch.arange(TOKENS)
        self.register_buffer("index", (places[:, None] - places).abs() * 4)
        self.register_buffer(
            "distance", places.float().log1p().outer(places.float()), persistent=False
        )
        mask = torch.zeros(TOKENS, TOKENS).masked_fill(places[:, None] % 7 > places % 5, -100.0)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x):
        normed = self.norm(x.transpose(1, 2)).relu().transpose(1, 2)
        q, k, v = self.qkv(normed).chunk(3, -1)
        attention = q @ k.transpose(1, 2) + self.bias[self.index] + self.mask + self.distance
        return x + attention.softmax(-1) @ v


@pytest.fixture(scope="module")
def windows() -> nn.Module:
    torch.manual_seed(0)
    model = binarize.convert(Windows(), img_size=10)
    for name, tensor in model.named_buffers():
        if "running" in name:
            tensor.uniform_(0.5, 2)
    return model.eval()


@pytest.mark.parametrize("form", HERE)
def test_a_file_with_tables_and_masks_is_as_large_as_its_payload(
    windows: nn.Module, tmp_path: Path, form: str
) -> None:
    result = binarize.export(windows, tmp_path / "m.onnx", form=form)
    images = torch.randn(2, 3, 10, 10)
    expected = windows(images).detach()
    np.testing.assert_allclose(
        logits(tmp_path / "m.onnx", images), expected, atol=5e-3 if form == "int8" else 1e-4
    )
    file = onnx.load(tmp_path / "m.onnx")
    large = {t.name: t for t in file.graph.initializer if len(t.raw_data) > 1000}
    kinds = sorted((t.data_type, len(t.raw_data)) for t in large.values() if "bits" not in t.name)
    mask, index = TOKENS * TOKENS // 8, 2 * TOKENS * TOKENS
    floats = [(TensorProto.FLOAT, 1600)] * 2 + [(TensorProto.FLOAT, 4 * TOKENS * TOKENS)]
    assert kinds == [*floats, (TensorProto.UINT8, mask), (TensorProto.UINT16, index)]
    assert not any("running" in t.name for t in file.graph.initializer)
    assert abs(result.bytes_predicted - result.bytes) < 3000


def test_the_size_is_predicted_without_values() -> None:
    with without_data():
        predicted = size_of(Windows())
    assert abs(predicted - size_of(Windows())) < 100


def size_of(model: nn.Module) -> int:
    opened = open_float(model.eval(), SourceOptions(img_size=10))
    conversion = convert_float(opened, Options(), values=False).conversion
    return packed_size(conversion.model, conversion.trace)
