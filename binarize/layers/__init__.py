"""Binary layers: the binary weight and its scale, the binary input, and the switches over a whole model."""

from binarize.layers.activation import IMBALANCED, InputBinarizer, SignBinarizer, StepBinarizer
from binarize.layers.added import AddedModule, added_modules, binarization_off, switch
from binarize.layers.calibrate import Calibration, calibrate, imbalance
from binarize.layers.schedule import Schedule
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
    "IMBALANCED",
    "AddedModule",
    "Calibration",
    "FrozenProduct",
    "FrozenWeight",
    "InputBinarizer",
    "Schedule",
    "SignBinarizer",
    "StepBinarizer",
    "WeightBinarizer",
    "added_modules",
    "binarization_off",
    "binarize_weight",
    "binary_inputs",
    "binary_weights",
    "calibrate",
    "freeze",
    "imbalance",
    "layer_name",
    "set_progress",
    "switch",
]
