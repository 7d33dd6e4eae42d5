"""The model held against itself in float64, and what the parity gate makes of it."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import binarize
from binarize import layers, rewrite
from binarize.errors import ExportError
from binarize.exporting.disagreements import SignDisagreements
from binarize.exporting.images import Images
from binarize.exporting.rounding import LARGEST, allowed, exact_copy, in_float64, rounding
from binarize.exporting.validate import Validation
from binarize.rewrite import Options

VALIDATE = importlib.import_module("binarize.exporting.validate")


class Amplifier(nn.Module):
    """Logits that are what is left of a sum and the same sum plus a millionth of another."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.body = nn.Conv2d(8, 64, 3, 2, 1)
        self.head = nn.Linear(64, 5)

    def forward(self, x):
        x = self.body(self.stem(x)).mean((2, 3))
        return self.head(torch.tanh((x + self.gain) - self.gain))


def converted(model: nn.Module, activations: str = "float") -> nn.Module:
    torch.manual_seed(0)
    float_model = rewrite.open_float(model, rewrite.SourceOptions(pretrained=False, img_size=32))
    made = rewrite.convert_float(
        float_model, Options(activations=activations)
    ).conversion.model.eval()
    if activations != "float":
        layers.calibrate(made, [torch.randn(4, 3, 32, 32)])
    return made


def test_rounding_is_the_distance_to_float64() -> None:
    model = converted(Amplifier(1e4))
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        narrow, wide = model(images), in_float64(exact_copy(model), images)
    assert wide.dtype == torch.float64
    expected = np.abs(narrow.numpy() - wide.numpy()).max() / np.abs(wide.numpy()).max()
    assert rounding(model, images) == pytest.approx(expected)
    assert 1e-4 < expected < LARGEST
    assert rounding(converted(Amplifier(0.0)), images) < 1e-5


def test_the_copy_has_the_same_binary_weights_and_the_model_stays() -> None:
    model = converted(Amplifier(0.0))
    weight = model.body._parameters["weight"]
    with torch.no_grad():  # a mean that float32 rounds to another value than float64 has
        weight.copy_(torch.randn_like(weight).mul(1e-4).add(1000 / 3))
    exact = exact_copy(model)
    assert exact.body.weight.dtype == torch.float64
    assert torch.equal(exact.body.weight, model.body.weight.double())
    assert model.body.weight.dtype == model.head.weight.dtype == torch.float32


@pytest.mark.parametrize("activations", ["step", "sign"])
def test_the_copy_of_binary_inputs_computes_the_same(activations: str) -> None:
    model = converted(Amplifier(0.0), activations)
    images = torch.randn(2, 3, 32, 32)
    assert rounding(model, images) < 1e-5


def test_a_model_that_insists_on_float32_has_no_figure() -> None:
    class Narrow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 2)

        def forward(self, x):
            return self.head(x.mean((2, 3)).float())

    assert rounding(Narrow(), torch.randn(1, 3, 8, 8)) is None


@pytest.mark.parametrize(
    ("own", "tolerance"), [(None, 1e-4), (1e-6, 1e-4), (1e-3, 4e-3), (0.5, 1e-2), (np.nan, 1e-4)]
)
def test_what_is_allowed(own: float | None, tolerance: float) -> None:
    assert allowed(1e-4, own) == pytest.approx(tolerance)


@pytest.mark.parametrize(
    ("difference", "own", "parity"),
    [
        (5e-5, None, "exact"),
        (5e-4, None, None),
        (5e-4, 1e-6, None),
        (5e-4, 2e-4, "up to rounding"),
        (9e-4, 2e-4, None),
        (2e-2, 1e-1, None),
    ],
)
def test_the_gate_without_binary_inputs(difference, own, parity) -> None:
    result = Validation(6, "noise", 2 * difference, 2.0, 100.0, own_rounding=own)
    assert result.parity == parity
    assert result.passed is (parity is not None)


@pytest.mark.parametrize(
    ("figures", "passes"),
    [
        ({"clip_twin_diff": 3e-5}, False),
        ({"clip_twin_diff": 3e-5, "clip_twin_rounding": 1e-5}, True),
        ({"largest_flip": 3e-5}, False),
        ({"largest_flip": 3e-5, "input_rounding": 1e-5}, True),
        ({"largest_flip": 3e-2, "input_rounding": 1}, False),
        ({"unflipped_diff": 3e-4}, False),
        ({"unflipped_diff": 3e-4, "unflipped_rounding": 1e-4}, True),
        ({"unflipped_diff": 3e-4, "input_rounding": 1e-4, "clip_twin_rounding": 1e-4}, False),
    ],
)
def test_the_gate_with_binary_inputs(figures: dict, passes: bool) -> None:
    found = {"clip_twin_diff": 1e-6, "flips": 1, "largest_flip": 1e-7, "unflipped_diff": 1e-6}
    result = Validation(6, "noise", 0.5, 1.0, 50.0, why=SignDisagreements(**found | figures))
    assert result.passed is passes


def test_a_model_that_amplifies_rounding_is_exported_and_says_so(
    tmp_path: Path, monkeypatch
) -> None:
    """Torch and onnxruntime may happen to round alike here, so the file's answers are moved."""
    model = converted(Amplifier(1e4))
    answers = VALIDATE._answers

    def moved(*args):
        expected, given = answers(*args)
        return expected, given + 2e-4 * expected.abs().max()

    monkeypatch.setattr(VALIDATE, "_answers", moved)
    result = binarize.export(model, tmp_path / "model.onnx")
    assert result.parity == "up to rounding"
    assert result.allowed == pytest.approx(max(1e-4, min(4 * result.own_rounding, 1e-2)))
    assert result.own_rounding > 1e-4
    assert binarize.runtime.metadata(tmp_path / "model.onnx").parity == "up to rounding"
    with pytest.raises(ExportError, match=r"more than 0\.0001 of that"):
        binarize.export(converted(Amplifier(0.0)), tmp_path / "other.onnx")


def test_wrong_bits_are_not_rounding(tmp_path: Path) -> None:
    model = converted(Amplifier(1e4))
    binarize.export(model, tmp_path / "model.onnx")
    file = onnx.load(tmp_path / "model.onnx")
    bits = next(one for one in file.graph.initializer if one.name == "body.bits")
    bits.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bits) ^ 1, bits.name))
    onnx.save(file, tmp_path / "bad.onnx")
    images = Images(torch.randn(6, 3, 32, 32), "noise")
    result = VALIDATE.validate(tmp_path / "bad.onnx", model, images)
    assert result.own_rounding > 1e-5
    assert not result.passed
