"""Whole files with fused ops: a residual network and a small ViT against torch, in every form."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from form_params import HERE, logits
from timm.models import VisionTransformer
from torch import nn

import binarize
from binarize import layers, rewrite
from binarize.exporting.disagreements import find_disagreements
from binarize.exporting.functions import DOMAINS, OPS
from binarize.exporting.images import Images
from binarize.exporting.passes import FuseOutputs
from binarize.rewrite import Options

MODES = {"W1A32": "float", "step": "step", "sign": "sign"}


class Residual(nn.Module):
    """A block with a layer on its shortcut, made after the branch; one without; Gelu; a layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.first, self.norm = nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.down = nn.Conv2d(8, 16, 3, 2, 1)
        self.twice = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        y = self.second(torch.relu(self.norm(self.first(x))))
        y = torch.relu(y + self.down(x))
        y = nn.functional.gelu(self.twice(y))
        y = self.twice(y) + y
        return self.head(y.mean((2, 3)))


def residual(activations: str) -> nn.Module:
    torch.manual_seed(0)
    float_model = rewrite.open_float(
        Residual(), rewrite.SourceOptions(pretrained=False, img_size=8)
    )
    options = Options(activations=activations, stem="keep", include=["down"])
    model = rewrite.convert_float(float_model, options).conversion.model.eval()
    layers.calibrate(model, [torch.randn(4, 3, 8, 8)])
    return model


def vit(activations: str) -> nn.Module:
    torch.manual_seed(0)
    net = VisionTransformer(
        img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=5
    )
    model = binarize.convert(net, img_size=16, activations=activations).eval()
    layers.calibrate(model, [torch.randn(4, 3, 16, 16)])
    return model


MODELS = {"residual": (residual, 8), "vit": (vit, 16)}
WANTED = {
    "residual": {"": 1, "Relu": 1, "AddRelu": 1, "Gelu": 1, "Add": 1},
    "vit": {"": 2, "Add": 4, "Gelu": 2},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(model, form, mode) -> (torch model, file, result), each made once."""
    folder, made = tmp_path_factory.mktemp("fused"), {}

    def write(name: str, form: str, mode: str):
        if (name, form, mode) not in made:
            path = folder / f"{name}-{form}-{mode}.onnx"
            model = MODELS[name][0](MODES[mode])
            made[name, form, mode] = model, path, binarize.export(model, path, form=form)
        return made[name, form, mode]

    return write


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MODELS)
def test_each_layer_has_the_ending_that_it_can_have(written, name: str, mode: str) -> None:
    _, path, result = written(name, "packed", mode)
    file = onnx.load(path)
    ours = [OPS[node.op_type] for node in file.graph.node if node.domain in DOMAINS]
    assert Counter("".join(op.epilogue) for op in ours) == WANTED[name]
    bodies = [function.name for function in file.functions]
    assert set(bodies) == {op.name for op in ours} | {op.base for op in ours}
    assert result.parity == "exact"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", HERE)
@pytest.mark.parametrize("name", MODELS)
def test_every_form_matches_torch(written, name: str, form: str, mode: str) -> None:
    model, path, result = written(name, form, mode)
    images = torch.randn(3, 3, *[MODELS[name][1]] * 2, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        expected = model(images).numpy()
    off = np.abs(logits(path, images) - expected).max()
    rounds = result.parity == "quantised"
    assert rounds is ((form, mode) == ("int8", "W1A32"))
    assert off <= (0.1 if rounds else 1e-4) * np.abs(expected).max()


@pytest.mark.parametrize("mode", ["step", "sign"])
@pytest.mark.parametrize("name", MODELS)
def test_flips_are_traced_through_fused_ops(written, tmp_path, name: str, mode: str) -> None:
    """None in the file as it is; where a shift is moved, one too large to be rounding."""
    model, path, _ = written(name, "packed", mode)
    size = MODELS[name][1]
    images = Images(torch.randn(4, 3, size, size), "noise")
    found = find_disagreements(path, model, images)
    assert (found.flips, found.largest_flip) == (0, 0)
    assert found.clip_twin_diff <= 1e-5
    moved = onnx.load(path)
    boundary = next(
        one for one in moved.graph.initializer if one.name.endswith((".shift", ".threshold"))
    )
    boundary.CopyFrom(
        onnx.numpy_helper.from_array(
            onnx.numpy_helper.to_array(boundary) + np.float32(0.3), boundary.name
        )
    )
    onnx.save(moved, tmp_path / "moved.onnx")
    assert not find_disagreements(tmp_path / "moved.onnx", model, images).explain(1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_makes_the_same_graph_of_it(
    written, tmp_path: Path, monkeypatch, name: str, mode: str
) -> None:
    """Once the functions are inlined it fuses what it fuses of a file without fused ops."""
    model, path, _ = written(name, "packed", mode)
    monkeypatch.setattr(FuseOutputs, "call", _nothing)
    binarize.export(model, tmp_path / "plain.onnx")
    assert optimised(path, tmp_path) == optimised(tmp_path / "plain.onnx", tmp_path)


def _nothing(_, graph):
    import onnx_ir as ir

    return ir.passes.PassResult(graph, False)


def optimised(file: Path, folder: Path) -> Counter:
    """(operator, inputs) -> how many are left."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(folder / "optimised.onnx").graph.node
    return Counter((node.domain, node.op_type, len(node.input)) for node in nodes)
