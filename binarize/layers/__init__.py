"""Binary layers: the binary weight, its scale, and the switches over a whole model."""

from binarize.layers.weight import (
    FrozenWeight,
    WeightBinarizer,
    binarization_off,
    binarize_weight,
    binary_weights,
    freeze,
    layer_name,
    set_progress,
)

__all__ = [
    "FrozenWeight",
    "WeightBinarizer",
    "binarization_off",
    "binarize_weight",
    "binary_weights",
    "freeze",
    "layer_name",
    "set_progress",
]
