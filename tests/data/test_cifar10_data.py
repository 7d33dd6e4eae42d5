"""The real CIFAR-10, where it lies beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from binarize import data
from binarize.recipe import Data
from binarize.run import Preprocess

CIFAR10 = Path(__file__).parents[3] / "shared" / "data" / "cifar10"
pytestmark = pytest.mark.skipif(
    not (CIFAR10 / "test.tar").is_file(),
    reason="CIFAR-10 is not beside the checkout, in ../shared/data/cifar10",
)


def test_cifar10() -> None:
    images = data.open_dataset(Data(name="cifar10", dir=str(CIFAR10), cache=True), "test")
    assert images.pixels.shape == (10_000, 3, 32, 32)
    assert torch.bincount(images.labels).tolist() == [1000] * 10
    assert images.classes[:3] == ["airplane", "automobile", "bird"]
    mean = images.pixels.double().mean((0, 2, 3)) / 255
    torch.testing.assert_close(
        mean, torch.tensor([0.494, 0.485, 0.451], dtype=torch.double), atol=2e-3, rtol=0
    )


def test_a_limit_takes_every_class() -> None:
    preprocess = Preprocess(
        img_size=32,
        mean=[0.5] * 3,
        std=[0.5] * 3,
        interpolation="bilinear",
        crop_pct=1.0,
    )
    config = Data(name="cifar10", dir=str(CIFAR10), workers=0)
    loader = data.test_loader(config, preprocess, limit=50)
    labels = torch.cat([labels for _, labels in loader])
    assert torch.bincount(labels).tolist() == [5] * 10
