"""The last layer with fewer bits: what is stored, what it changes, and what the gate asks for."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import binarize
from binarize.errors import ExportError
from binarize.exporting.classifier import CLASSIFIERS, to_1bit, to_fp16, to_int8
from binarize.runtime import metadata

SMALL = [name for name in CLASSIFIERS if name != "float"]


class Wide(nn.Module):
    """A classifier that is most of the model."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 64, 3, padding=1)
        self.fc = nn.Linear(64, 1000, bias=bias)

    def forward(self, x):
        x = torch.relu(self.conv(torch.relu(self.stem(x))))
        return self.fc(x.mean((2, 3)))


def wide(**options) -> nn.Module:
    torch.manual_seed(0)
    return binarize.convert(Wide().eval(), img_size=8, **options)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 99), rows=st.integers(1, 5), columns=st.integers(1, 9))
def test_rounding_is_as_close_as_its_type_allows(seed: int, rows: int, columns: int) -> None:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    largest = weight.abs().amax(1, keepdim=True)
    assert ((to_fp16(weight).value - weight).abs() <= largest * 2**-11).all()
    assert ((to_int8(weight).value - weight).abs() <= largest / 127 / 2 * 1.001).all()
    signs = to_1bit(weight).value
    assert torch.equal(signs >= 0, weight >= 0)
    torch.testing.assert_close(signs.abs()[:, 0], weight.abs().mean(1))


def test_rows_of_zeros_and_values_beyond_half_precision_survive() -> None:
    assert torch.equal(to_int8(torch.zeros(2, 3)).value, torch.zeros(2, 3))
    assert to_fp16(torch.tensor([[1e6, -1e6]])).value.tolist() == [[65504.0, -65504.0]]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(kind, form, activations) -> (model, its weights before the export, file, result), each made once."""
    folder = tmp_path_factory.mktemp("classifier")

    @functools.cache
    def write(kind: str, form: str, activations: str):
        model = wide(activations=activations)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        path = folder / f"{kind}-{form}-{activations}.onnx"
        return model, before, path, binarize.export(model, path, form=form, classifier=kind)

    return write


# Every form and every kind with both activations.
COMBINED = [
    (kind, form, ("float", "step")[(row + column) % 2])
    for row, kind in enumerate(SMALL)
    for column, form in enumerate(("packed", "inline", "int8"))
]


@pytest.mark.parametrize(("kind", "form", "activations"), COMBINED)
def test_the_file_computes_with_the_rounded_weight(written, kind, form, activations) -> None:
    model, before, path, result = written(kind, form, activations)
    exact = form != "int8" or activations != "float"
    assert result.parity == ("exact" if exact else "quantised")
    assert result.classifier == metadata(path).classifier == kind
    assert result.classifier_diff > 0
    assert 0 <= result.classifier_agreement <= 100
    width = {"fp16": 2, "int8": 1, "1bit": 1 / 8}[kind]
    assert result.bytes < 64 * 1000 * width + 24_000
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("kind", SMALL)
def test_onnxruntime_makes_a_float_of_it_once(written, tmp_path, kind: str) -> None:
    _, _, path, _ = written(kind, "packed", "float")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    left = {node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert not {"Cast", "DequantizeLinear", "Where"} & left


def test_fp16_is_in_the_file_as_such(written) -> None:
    model, _, path, _ = written("fp16", "packed", "float")
    stored = {one.name: one for one in onnx.load(path).graph.initializer}
    elements = onnx.numpy_helper.to_array(stored["fc.weight"])
    assert np.array_equal(elements, model.fc.weight.detach().half().numpy())


@pytest.mark.parametrize("kind", SMALL)
def test_a_model_without_binary_layers_may_have_it_too(tmp_path, kind: str) -> None:
    result = binarize.export(wide(keep=["*"]), tmp_path / "m.onnx", classifier=kind)
    assert result.form == ("packed" if kind == "1bit" else "float")
    assert result.parity == "exact"


def test_float_says_nothing_about_a_change(tmp_path) -> None:
    result = binarize.export(wide(), tmp_path / "m.onnx")
    assert (result.classifier, result.classifier_diff, result.classifier_agreement) == (
        "float",
        None,
        None,
    )


def test_a_classifier_that_is_binary_already_is_refused(tmp_path) -> None:
    with pytest.raises(ExportError, match='the last layer, "fc", is binary already'):
        binarize.export(wide(include=["fc"]), tmp_path / "m.onnx", classifier="fp16")


def test_an_unknown_type_is_refused_with_those_that_there_are(tmp_path) -> None:
    with pytest.raises(ExportError, match='no classifier "fp8"') as error:
        binarize.export(wide(), tmp_path / "m.onnx", classifier="fp8")
    assert error.value.hint == "take one of float, fp16, int8, 1bit"


class Headless(nn.Module):
    """Nothing with a weight behind the binary layer."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x.mean((2, 3)) * self.gain


def test_a_model_without_a_last_layer_is_refused(tmp_path) -> None:
    with pytest.raises(ExportError, match="no last layer"):
        binarize.export(Headless(), tmp_path / "m.onnx", classifier="fp16", input_size=8)
