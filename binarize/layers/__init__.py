"""Binary layers: the binary weight and its scale, the binary input, and the switches over a whole model."""

from binarize.layers.activation import SATURATED, InputBinarizer, Sign, Step
from binarize.layers.addition import Addition, additions, binarization_off, switch
from binarize.layers.calibrate import Calibration, calibrate, saturation
from binarize.layers.swap import (
    binarize_weight,
    binary_inputs,
    binary_weights,
    freeze,
    layer_name,
    set_progress,
)
from binarize.layers.weight import FrozenProduct, FrozenWeight, WeightBinarizer

__all__ = [
    "SATURATED",
    "Addition",
    "Calibration",
    "FrozenProduct",
    "FrozenWeight",
    "InputBinarizer",
    "Sign",
    "Step",
    "WeightBinarizer",
    "additions",
    "binarization_off",
    "binarize_weight",
    "binary_inputs",
    "binary_weights",
    "calibrate",
    "freeze",
    "layer_name",
    "saturation",
    "set_progress",
    "switch",
]
