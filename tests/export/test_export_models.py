"""Whole files: what is in them, that they match torch, and that a bad one is not left behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import binarize
from binarize import api
from binarize.errors import ExportError
from binarize.exporting import exporting
from binarize.exporting.functions import DOMAIN, DOMAINS, FUNCTION_OPS
from binarize.exporting.validate import Validation
from binarize.layers import binary_weights
from binarize.packing import unpack_bits
from binarize.rewrite import Options, SourceOptions
from binarize.runtime import open_session

DOCS = Path(__file__).parents[2] / "docs"


class Small(nn.Module):
    """A convolution with batch norm, one without, attention that bypasses its layer, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.conv = nn.Conv2d(8, 12, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(12)
        self.grouped = nn.Conv2d(12, 12, (1, 3), 1, (0, 2), dilation=(1, 2), groups=3)
        self.qkv = nn.Linear(12, 36, bias=False)
        self.proj = nn.Linear(12, 12)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(torch.relu(self.stem(x)))))
        x = torch.relu(self.grouped(x)).flatten(2).transpose(1, 2)
        q, k, v = torch.nn.functional.linear(x, self.qkv.weight).chunk(3, -1)
        x = x + self.proj((q @ k.transpose(1, 2)).softmax(-1) @ v)
        return self.head(x.mean(1))


@pytest.fixture(scope="module")
def small() -> nn.Module:
    torch.manual_seed(0)
    model = Small()
    with torch.no_grad():  # a batch norm that does something, of both signs
        model.norm.weight.normal_()
        model.norm.bias.normal_()
        model.norm.running_mean.normal_()
        model.norm.running_var.uniform_(0.5, 2)
    return binarize.convert(model, img_size=16).eval()


@pytest.fixture(scope="module")
def exported(small: nn.Module, tmp_path_factory) -> tuple[Path, exporting.ExportResult]:
    path = tmp_path_factory.mktemp("export") / "small.onnx"
    return path, binarize.export(small, path)


def test_every_binary_weight_takes_one_bit(small: nn.Module, exported) -> None:
    model = onnx.load(exported[0])
    ours = [node for node in model.graph.node if node.domain in DOMAINS]
    assert sorted(node.name for node in ours) == sorted(name for name, *_ in binary_weights(small))
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for name, module, parameter, binarizer in binary_weights(small):
        latent = module._parameters[parameter]
        positive = unpack_bits(stored[f"{name}.bits"], tuple(latent.shape))
        assert np.array_equal(positive, binarizer.frozen(latent).positive.numpy()), name
        assert f"{name}.weight" not in stored
    used = {"BinaryConvRelu", "BinaryLinear", "BinaryLinearAdd"}
    assert {node.op_type for node in ours} == used
    assert {function.name for function in model.functions} == {"BinaryConv", *used}


def test_the_batch_norm_is_folded_and_the_file_is_clean(exported) -> None:
    model = onnx.load(exported[0])
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert model.ir_version == 10
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    onnx.checker.check_model(model, full_check=False)


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_stock_onnxruntime_matches_torch_at_any_batch(small, exported, batch: int) -> None:
    images = torch.randn(batch, 3, 16, 16)
    with torch.no_grad():
        expected = small(images).numpy()
    given = open_session(exported[0]).logits(images.numpy())
    assert np.abs(given - expected).max() <= 1e-4 * np.abs(expected).max()


def test_the_result_says_what_was_written(exported) -> None:
    path, result = exported
    content = result.as_json()
    assert content["onnx"] == str(path)
    assert content["form"] == "packed"
    assert content["parity"] == "exact"
    assert content["bytes"] == path.stat().st_size
    assert content["max_abs_diff"] <= 1e-4 * content["max_abs_logit"]
    assert content["top1_agreement"] == 100


def test_exporting_leaves_the_model_as_it_was(small, tmp_path) -> None:
    before = {key: value.clone() for key, value in small.state_dict().items()}
    kinds = [type(module) for module in small.modules()]
    binarize.export(small, tmp_path / "again.onnx")
    assert [type(module) for module in small.modules()] == kinds
    assert all(torch.equal(value, before[key]) for key, value in small.state_dict().items())


def test_a_model_without_binary_layers_is_a_float_file(tmp_path: Path) -> None:
    model = binarize.convert(
        "cifar_resnet20", pretrained=False, model_args={"blocks": 1}, keep=["*"]
    )
    result = binarize.export(model, tmp_path / "float.onnx")
    assert result.form == "float"
    assert DOMAIN not in {opset.domain for opset in onnx.load(tmp_path / "float.onnx").opset_import}


@pytest.mark.parametrize("opset", [18, 25])
def test_other_opsets(small, tmp_path: Path, opset: int) -> None:
    binarize.export(small, tmp_path / "model.onnx", opset=opset)
    imports = {
        entry.domain: entry.version for entry in onnx.load(tmp_path / "model.onnx").opset_import
    }
    assert imports[""] == opset
    assert imports[DOMAIN] == 1


def test_an_opset_out_of_range_is_refused(small, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="opset 17") as error:
        binarize.export(small, tmp_path / "model.onnx", opset=17)
    assert "18 to 25" in error.value.hint


def test_a_file_that_fails_validation_is_not_left(small, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "model.onnx").write_text("the old one")
    wrong = Validation(4, "noise", max_abs_diff=1.0, max_abs_logit=1.0, top1_agreement=0.0)
    monkeypatch.setattr(exporting, "validate", lambda *_, **__: wrong)
    with pytest.raises(ExportError, match="differs from the model"):
        binarize.export(small, tmp_path / "model.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_text() == "the old one"


def test_a_weight_used_in_an_unknown_way_is_an_error_that_names_the_layer(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.odd, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            x = self.odd(self.stem(x).mean((2, 3)))
            return self.head(x) + self.odd.weight.sum()

    model = binarize.convert(Odd(), img_size=8)
    with pytest.raises(ExportError, match='layer "odd"'):
        binarize.export(model, tmp_path / "odd.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_file_says_everything_about_itself(tmp_path: Path) -> None:
    api.convert_to_run(
        "cifar_resnet20",
        Options(),
        SourceOptions(pretrained=False, kwargs={"blocks": 1}),
        out=tmp_path / "run",
    )
    binarize.export(tmp_path / "run", tmp_path / "model.onnx")
    props = {
        prop.key: json.loads(prop.value)
        for prop in onnx.load(tmp_path / "model.onnx").metadata_props
    }
    assert props["binarize.preprocess"]["img_size"] == 32
    assert props["binarize.model"]["name"] == "cifar_resnet20"
    assert props["binarize.conversion"]["estimator"] == {"name": "ab-tanh"}
    assert props["binarize.versions"]["torch"] == torch.__version__.partition("+")[0]
    assert str(tmp_path) not in json.dumps(props)


def test_the_specification_names_every_op_and_every_property(exported) -> None:
    text = (DOCS / "op-spec.md").read_text(encoding="utf-8")
    assert all(f"`{op}`" in text for op in FUNCTION_OPS)
    for prop in onnx.load(exported[0]).metadata_props:
        assert f"`{prop.key}`" in text, prop.key


@pytest.mark.parametrize("content", [b"", b"no onnx", None])
def test_a_truncated_or_foreign_file_is_refused_when_opened(
    exported, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "bad.onnx"
    file.write_bytes(exported[0].read_bytes()[:-500] if content is None else content)
    with pytest.raises(ExportError) as error:
        open_session(file)
    assert error.value.hint
