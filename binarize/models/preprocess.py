"""What a network expects its images to look like."""

from __future__ import annotations

from typing import Any, cast

from torchvision import models as torchvision_models

from binarize.models.names import parse, pretrained_cfg
from binarize.run import Preprocess
from binarize.run.model import Interpolation

# What torchvision's detection networks resize to inside, where it is not the usual 800.
_DETECTION_SIZES = {"ssd300": 300, "320": 320}


def default_preprocess(name: str) -> Preprocess:
    """That of the library's own weights.

    Detection networks normalise inside: their mean is 0 and their std 1.
    """
    library, bare = parse(name)
    if library == "timm":
        cfg = pretrained_cfg(bare)
        return Preprocess.make(
            img_size=tuple(cfg.input_size[-2:]),
            mean=list(map(float, cfg.mean)),
            std=list(map(float, cfg.std)),
            interpolation=cast(Interpolation, cfg.interpolation),  # checked by the record
            crop_pct=float(cfg.crop_pct),
        )
    preset = torchvision_models.get_model_weights(bare).DEFAULT.transforms()
    if not hasattr(preset, "crop_size"):
        return _uncropped(bare, preset)
    return Preprocess.make(
        img_size=preset.crop_size[0],
        mean=list(preset.mean),
        std=list(preset.std),
        interpolation=preset.interpolation.value,
        crop_pct=preset.crop_size[0] / preset.resize_size[0],
    )


def _uncropped(bare: str, preset: Any) -> Preprocess:
    """Of networks for whole images: the length that they resize the shorter side to."""
    own = next((size for part, size in _DETECTION_SIZES.items() if part in bare), 800)
    return Preprocess.make(
        img_size=preset.resize_size[0] if hasattr(preset, "resize_size") else own,
        mean=list(getattr(preset, "mean", (0.0, 0.0, 0.0))),
        std=list(getattr(preset, "std", (1.0, 1.0, 1.0))),
        interpolation="bilinear",
        crop_pct=1.0,
    )
