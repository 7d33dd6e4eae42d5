"""Networks that convert by a part: detection and segmentation, and the part that a user names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rewrite_toys import Bypassed
from torch import nn

import binarize
from binarize import api
from binarize.errors import ModelError, PatternError
from binarize.layers import binary_weights
from binarize.rewrite import Options, SourceOptions, convert_float, open_float
from binarize.run import open_run

DETECTOR = "torchvision/fasterrcnn_mobilenet_v3_large_320_fpn"
SEGMENTER = "torchvision/lraspp_mobilenet_v3_large"


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "detector"
    api.convert_to_run(
        DETECTOR,
        Options(),
        SourceOptions(pretrained=False, img_size=96, num_classes=3),
        out=path,
    )
    return path


def test_a_detector_converts_by_its_backbone(detector: Path) -> None:
    rows = json.loads((detector / "summary.json").read_text())["layers"]
    inside = [row for row in rows if row["name"].startswith("backbone.")]
    outside = [row for row in rows if row not in inside]
    assert sum(row["action"] == "binarized" for row in inside) > 30
    assert {row["reason"] for row in outside} == {"outside the backbone"}
    conversion = open_run(detector).info.conversion
    assert conversion.submodule == "backbone"
    assert all(name.startswith("backbone.") for name in conversion.parameters)


def test_a_detector_is_rebuilt_and_detects(detector: Path) -> None:
    model = binarize.load(detector)
    assert type(model).__name__ == "FasterRCNN"
    assert len(list(binary_weights(model))) > 30
    with torch.no_grad():
        (found,) = model([torch.rand(3, 96, 96)])
    assert set(found) == {"boxes", "labels", "scores"}
    assert model.roi_heads.box_predictor.cls_score.out_features == 3


def test_what_is_for_classification_only_says_so(detector: Path, tmp_path: Path) -> None:
    for call in (
        lambda: binarize.export(detector, tmp_path / "x.onnx"),
        lambda: binarize.export(binarize.load(detector), tmp_path / "x.onnx"),
        lambda: binarize.evaluate([detector]),
        lambda: binarize.train("digits", detector, out=tmp_path / "run"),
    ):
        with pytest.raises(ModelError, match="detection network") as error:
            call()
        assert error.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_segmenter_runs_whole_and_converts_by_its_backbone() -> None:
    float_model = open_float(SEGMENTER, SourceOptions(pretrained=False, img_size=96))
    rows = convert_float(float_model, Options()).conversion.rows
    kept = {row.name: row.macs for row in rows if row.reason == "outside the backbone"}
    assert kept
    assert all(macs > 0 for macs in kept.values())
    assert not any(name.startswith("backbone.") for name in kept)


def test_a_part_of_a_network_that_runs_whole() -> None:
    model = binarize.convert("resnet18", pretrained=False, img_size=64, submodule="layer3")
    names = [name for name, *_ in binary_weights(model)]
    assert len(names) == 5
    assert all(name.startswith("layer3.") for name in names)
    assert model.binarize_info.conversion.submodule == "layer3"


def test_a_part_of_a_network_that_does_not() -> None:
    class Boxes(nn.Module):
        """Takes a list of images, as detection networks do."""

        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
            self.boxes = nn.Linear(8, 4)

        def forward(self, images: list[torch.Tensor]) -> torch.Tensor:
            x = self.body(torch.stack([image[:, :16, :16] for image in images["all"]]))
            return self.boxes(x.mean((2, 3)))

    with pytest.raises(ModelError, match="does not run on an image"):
        binarize.convert(Boxes(), img_size=16)
    model = binarize.convert(Boxes(), img_size=16, submodule="body", stem="keep")
    assert [name for name, *_ in binary_weights(model)] == ["body.2"]


def test_a_submodule_that_is_not_there() -> None:
    with pytest.raises(PatternError, match='no submodule "bakbone"'):
        binarize.convert(Bypassed(), img_size=16, submodule="bakbone")
    with pytest.raises(PatternError) as error:
        binarize.convert("resnet18", pretrained=False, img_size=64, submodule="layer33")
    assert "layer3" in error.value.hint


def test_forcing_a_layer_outside_the_submodule_is_refused() -> None:
    with pytest.raises(PatternError, match="outside the layer3"):
        binarize.convert("resnet18", pretrained=False, submodule="layer3", include=["fc"])


def test_a_clip_through_a_video_network(tmp_path: Path) -> None:
    float_model = open_float(
        "torchvision/r3d_18", SourceOptions(pretrained=False, img_size=32, num_classes=3)
    )
    assert float_model.size == (3, 16, 32, 32)
    converted = convert_float(float_model, Options(stem="keep"), values=False).conversion
    assert {row.kind for row in converted.rows} == {"conv3d", "linear"}
    assert sum(row.action == "binarized" for row in converted.rows) == 19
    clip = torch.randn(1, 3, 4, 32, 32)
    assert converted.model.eval()(clip).shape == (1, 3)
