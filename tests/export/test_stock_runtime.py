"""What stock onnxruntime makes of a packed file: the float model's graph, at the float model's speed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import binarize

UNPACKING = {"Gather", "Where", "Cast", "Neg", "Slice", "ReduceProd", "Range", "Size", "Unsqueeze"}


class Net(nn.Module):
    """Convolutions over two axes and over one, and linear layers on rows and on sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 9, 3, padding=1)
        self.line = nn.Conv1d(9, 10, 3, padding=1)
        self.rows = nn.Linear(16, 16)
        self.flat = nn.Linear(160, 7)
        self.head = nn.Linear(7, 3)

    def forward(self, x):
        x = torch.relu(self.conv(torch.relu(self.stem(x))))
        x = torch.relu(self.rows(torch.relu(self.line(x.flatten(2)))))
        return self.head(torch.relu(self.flat(x.flatten(1))))


def optimised(file: Path, folder: Path, level) -> Counter:
    """Operator -> how many are left once onnxruntime has optimised the graph."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)


@pytest.mark.parametrize(
    "level",
    [
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    ],
)
def test_the_unpacking_is_folded_away(tmp_path: Path, level) -> None:
    torch.manual_seed(0)
    model = binarize.convert(Net(), img_size=4)
    packed, plain = tmp_path / "packed.onnx", tmp_path / "float.onnx"
    binarize.export(model, packed)
    binarize.export(binarize.convert(Net(), img_size=4, keep=["*"]), plain)
    given, wanted = optimised(packed, tmp_path, level), optimised(plain, tmp_path, level)
    assert not UNPACKING & set(given)
    layers = ("Conv", "FusedConv", "MatMul", "Gemm", "FusedGemm")
    assert sum(given[op] for op in layers) == sum(wanted[op] for op in layers) == 6
    assert sum(given.values()) <= sum(wanted.values()) + 1
