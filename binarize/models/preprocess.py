"""What a network expects its images to look like."""

from __future__ import annotations

from typing import Any

import timm
from torchvision import models as torchvision_models

from binarize.models.names import parse


def default_preprocess(name: str) -> dict[str, Any]:
    """`{"img_size", "mean", "std", "interpolation", "crop_pct"}` of the library's own weights.

    `img_size` in pixels of a square; `mean` and `std` per RGB channel of images in [0, 1]; test images
    are resized to `img_size / crop_pct` and cropped. All of it can be written as JSON.
    """
    library, bare = parse(name)
    if library == "timm":
        cfg = timm.models.get_pretrained_cfg(bare)
        return {
            "img_size": cfg.input_size[-1],
            "mean": list(cfg.mean),
            "std": list(cfg.std),
            "interpolation": cfg.interpolation,
            "crop_pct": cfg.crop_pct,
        }
    preset = torchvision_models.get_model_weights(bare).DEFAULT.transforms()
    return {
        "img_size": preset.crop_size[0],
        "mean": list(preset.mean),
        "std": list(preset.std),
        "interpolation": preset.interpolation.value,
        "crop_pct": preset.crop_size[0] / preset.resize_size[0],
    }
