from __future__ import annotations

import pytest
import timm
import torch.nn.functional as F
from torch import Tensor, nn

from binarize import models
from binarize.rewrite.capture import capture
from binarize.rewrite.downsample import downsample_layers
from binarize.rewrite.inventory import inventory


def shortcuts(model: nn.Module, size: tuple[int, ...] = (3, 64, 64)) -> set[str]:
    trace = capture(model, size)
    return downsample_layers(trace.graph, inventory(trace))


@pytest.mark.parametrize(
    ("name", "part", "count"),
    [
        ("resnet18", "downsample.0", 3),
        ("resnet50", "downsample.0", 4),
        ("resnet50d", "downsample.1", 4),  # pools before its convolution
        ("resnetv2_50", "downsample.conv", 4),  # normalises before the branches part
        ("regnetx_002", "downsample.conv", 4),
        ("torchvision/resnet18", "downsample.0", 3),
        ("torchvision/regnet_x_400mf", "proj.0", 4),
    ],
)
def test_exactly_the_downsample_convolutions(name: str, part: str, count: int) -> None:
    model = models.create(name)
    convolutions = {key for key, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    expected = {key for key in convolutions if key.endswith(part)}
    assert len(expected) == count
    assert shortcuts(model) == expected


@pytest.mark.parametrize(
    ("name", "img_size"),
    [
        ("vit_tiny_patch16_224", 64),
        ("densenet121", 64),
        ("mobilenetv3_small_050", 64),
        ("convnext_atto", 64),
        ("cifar_resnet20", 32),  # its shortcuts have no parameters
    ],
)
def test_networks_without_shortcut_convolutions(name: str, img_size: int) -> None:
    assert shortcuts(models.create(name, img_size=img_size), (3, img_size, img_size)) == set()


class Block(nn.Module):
    """x -> a(x) + b(x) with layers of its own on each side, behind a stem."""

    def __init__(self, a: nn.Module, b: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 1, 1)
        self.a, self.b = a, b
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        return self.head((self.a(x) + self.b(x)).mean((2, 3)))


def conv(kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(8, 8, kernel, stride, kernel // 2)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (lambda: nn.Sequential(conv(3), nn.ReLU(), conv(3)), lambda: conv(1), {"b"}),
        (lambda: conv(1), lambda: nn.Sequential(conv(3), nn.ReLU(), conv(3)), {"a"}),
        (lambda: nn.Sequential(conv(3, 2), nn.ReLU(), conv(3)), lambda: conv(3, 2), {"b"}),
        (lambda: nn.Sequential(conv(3), nn.ReLU(), conv(3)), lambda: conv(3), set()),
        (lambda: nn.Sequential(conv(3), nn.ReLU(), conv(1)), nn.Identity, set()),
        (lambda: nn.ReLU(), lambda: conv(1), set()),  # no layer on the other side
    ],
)
def test_what_makes_a_shortcut(a, b, expected: set[str]) -> None:
    assert shortcuts(Block(a(), b()), (3, 16, 16)) == expected


def test_a_second_look_finds_the_same() -> None:
    model = timm.create_model("resnet18")
    assert shortcuts(model) == shortcuts(model)
