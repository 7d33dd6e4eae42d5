"""A float network as a user brings it: weights in a file, and images of any folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from binarize.models import fetch
from binarize.run.weights import save_weights

SMALLER = {"blocks": 1}
"""Of the cifar_resnet20 here: one block a stage and not three."""


def write_weights(root: Path) -> None:
    """float.safetensors of a small cifar_resnet20 of ten classes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = fetch("cifar_resnet20", pretrained=False, num_classes=10, **SMALLER).model
    save_weights(root / "float.safetensors", model.state_dict())


def write_images(folder: Path, side: int) -> None:
    """Forty images of noise."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for number in range(40):
        pixels = random.integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
