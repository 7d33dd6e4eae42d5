"""Files of models with binary inputs: what is in them, and the parity gate with its figures."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper
from timm.layers import Conv2dSame
from torch import nn

import binarize
from binarize import layers, rewrite
from binarize.errors import ExportError
from binarize.exporting import exporting
from binarize.exporting.disagreements import SignDisagreements, find_disagreements
from binarize.exporting.functions import DOMAINS, OPS
from binarize.exporting.images import Images
from binarize.exporting.validate import Validation, validate
from binarize.rewrite import Options


class Mixed(nn.Module):
    """ "Same" padding, a batch norm, a layer used twice, attention by F.linear, linear on four dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.same = Conv2dSame(8, 8, 3, 2, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 3, padding=1)
        self.qkv = nn.Linear(8, 24)
        self.mlp = nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = torch.relu(self.norm(self.same(self.stem(x))))
        x = self.twice(x + self.twice(x)).permute(0, 2, 3, 1)
        x = x + self.mlp(x)
        x = x.flatten(1, 2)
        q, k, v = nn.functional.linear(x, self.qkv.weight, self.qkv.bias).chunk(3, -1)
        return self.head(((q @ k.transpose(1, 2)).softmax(-1) @ v).mean(1))


def converted(activations: str, model: nn.Module | str = "", size: int = 16) -> nn.Module:
    torch.manual_seed(0)
    float_model = rewrite.open_float(
        model or Mixed(), rewrite.SourceOptions(pretrained=False, img_size=size)
    )
    result = rewrite.convert_float(float_model, Options(activations=activations, stem="keep"))
    made = result.conversion.model.eval()
    layers.calibrate(made, [torch.randn(4, 3, size, size)])
    return made


@pytest.fixture(scope="module", params=["step", "sign"])
def exported(request, tmp_path_factory):
    model = converted(request.param)
    path = tmp_path_factory.mktemp("inputs") / "model.onnx"
    return request.param, model, path, binarize.export(model, path)


def noise(count: int = 6) -> Images:
    return Images(torch.randn(count, 3, 16, 16), "noise")


def test_no_marker_is_left_and_every_layer_is_one_node(exported) -> None:
    kind, model, path, result = exported
    nodes = [node for node in onnx.load(path).graph.node if node.domain in DOMAINS]
    assert {OPS[node.op_type].binary.lower() for node in nodes} == {kind}
    assert {node.name.partition("@")[0] for node in nodes} == {
        name for name, _ in layers.binary_inputs(model)
    }
    assert sum(node.name.partition("@")[0] == "twice" for node in nodes) == 2
    assert result.parity == "exact"
    assert result.clip_twin_diff is result.flips is result.largest_flip is None


def test_same_padding_is_in_pads_and_the_norm_in_the_scale(exported) -> None:
    ops = {node.op_type for node in onnx.load(exported[2]).graph.node}
    assert not {"Pad", "BatchNormalization"} & ops
    same = next(node for node in onnx.load(exported[2]).graph.node if node.name == "same")
    pads = next(list(one.ints) for one in same.attribute if one.name == "pads")
    assert pads == [0, 0, 1, 1]


@pytest.mark.parametrize("activations", ["step", "sign"])
def test_a_whole_network_matches(activations, tmp_path: Path) -> None:
    model = converted(activations, "cifar_resnet20", 32)
    result = binarize.export(model, tmp_path / "model.onnx")
    assert result.max_abs_diff <= 1e-4 * result.max_abs_logit or result.parity != "exact"


def test_the_twins_match_and_no_sign_differs(exported) -> None:
    _, model, path, _ = exported
    found = find_disagreements(path, model, noise())
    assert found.clip_twin_diff <= 1e-5
    assert found.explain(1e-4)


def nudged(path: Path, folder: Path, layer: str, amount: float) -> Path:
    """The file with another shift or threshold for one layer."""
    file = onnx.load(path)
    for tensor in file.graph.initializer:
        if tensor.name in (f"{layer}.shift", f"{layer}.threshold"):
            tensor.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor) + amount, tensor.name)
            )
    onnx.save(file, folder / "nudged.onnx")
    return folder / "nudged.onnx"


def on_the_boundary(model: nn.Module, image: torch.Tensor) -> None:
    """Put the decision boundary of "same" on one of its inputs, for that image."""
    binarizer = dict(layers.binary_inputs(model))["same"]
    with torch.no_grad():
        x = model.stem(image)[0, 0, 2, 2]
        binarizer.boundary[:1] = x if binarizer.name == "step" else -x


@pytest.mark.parametrize("activations", ["step", "sign"])
def test_a_flip_by_rounding_is_found_and_excused(activations: str, tmp_path: Path) -> None:
    model, images = converted(activations), noise(1)
    on_the_boundary(model, images.pixels)
    binarize.export(model, tmp_path / "model.onnx")
    amount = 1e-6 if activations == "step" else -1e-6
    found = find_disagreements(
        nudged(tmp_path / "model.onnx", tmp_path, "same", amount), model, images
    )
    assert found.flips == 1
    assert 0 <= found.largest_flip < 1e-5
    assert found.explain(1e-4)


@pytest.mark.parametrize("amount", [1e-2, -1e-2])
def test_a_threshold_that_is_wrong_is_not_excused(exported, tmp_path: Path, amount: float) -> None:
    _, model, path, _ = exported
    found = find_disagreements(nudged(path, tmp_path, "same", amount), model, noise())
    assert not found.explain(1e-4)


def test_bits_that_are_wrong_are_not_excused(exported, tmp_path: Path) -> None:
    _, model, path, _ = exported
    file = onnx.load(path)
    bits = next(one for one in file.graph.initializer if one.name == "mlp.bits")
    bits.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bits) ^ 255, bits.name))
    onnx.save(file, tmp_path / "bad.onnx")
    result = validate(tmp_path / "bad.onnx", model, noise())
    assert result.why is not None
    assert result.parity is None
    assert not result.passed


FLIPPED = SignDisagreements(clip_twin_diff=1e-6, flips=1, largest_flip=1e-7, unflipped_diff=1e-6)


@pytest.mark.parametrize(
    ("figures", "passes"),
    [
        ({}, True),
        ({"clip_twin_diff": 2e-5}, False),
        ({"largest_flip": 1e-5}, False),
        ({"unflipped_diff": 2e-4}, False),
        ({"clip_twin_diff": float("nan")}, False),
        ({"largest_flip": float("nan")}, False),
    ],
)
def test_the_gate(figures: dict, passes: bool) -> None:
    why = SignDisagreements(**{**vars(FLIPPED), **figures})
    result = Validation(6, "noise", 0.5, 1.0, 50.0, why=why)
    assert result.passed is passes
    assert result.parity == ("up to sign flips" if passes else None)


@pytest.mark.parametrize(("agreement", "passes"), [(99.9, True), (99.8, False)])
def test_a_trained_model_has_to_agree(agreement: float, passes: bool) -> None:
    assert Validation(32, "images", 0.0, 1.0, agreement, trained=True).passed is passes
    assert Validation(6, "noise", 0.0, 1.0, agreement).passed


def test_the_file_says_that_signs_flipped(exported, tmp_path: Path, monkeypatch) -> None:
    result = Validation(6, "noise", 0.5, 1.0, 100.0, why=FLIPPED)
    monkeypatch.setattr(exporting, "validate", lambda *_, **__: result)
    written = binarize.export(exported[1], tmp_path / "model.onnx")
    assert written.parity == "up to sign flips"
    assert written.flips == 1
    assert binarize.runtime.metadata(tmp_path / "model.onnx").parity == "up to sign flips"
    assert written.bytes == (tmp_path / "model.onnx").stat().st_size


def test_an_input_that_cannot_be_packed_is_an_error_that_names_the_layer(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.odd = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.odd(self.stem(x)).mean((2, 3))) + self.odd.weight.sum()

    with pytest.raises(ExportError, match='layer "odd"'):
        binarize.export(converted("step", Odd(), 8), tmp_path / "odd.onnx")
    assert list(tmp_path.iterdir()) == []
