"""From a float model to a binarized one: capture, select, swap, verify; and back from a run."""

from binarize.rewrite.build import added_keys, build, build_info, build_named
from binarize.rewrite.calibration import Calibrated, CalibrationImages
from binarize.rewrite.capture import Trace, capture
from binarize.rewrite.convert import Conversion, Row, convert, replay
from binarize.rewrite.inventory import Layer, inventory
from binarize.rewrite.model_part import find_part
from binarize.rewrite.options import Options, options_of
from binarize.rewrite.refusals import check_kind, check_target
from binarize.rewrite.select import classifier
from binarize.rewrite.start import (
    Converted,
    FloatModel,
    SourceOptions,
    convert_float,
    image_size,
    open_float,
    open_latent,
    unwrapped,
    with_classes,
)
from binarize.rewrite.stem import shrinking_stem
from binarize.rewrite.totals import Totals, summary, totals

__all__ = [
    "Calibrated",
    "CalibrationImages",
    "Conversion",
    "Converted",
    "FloatModel",
    "Layer",
    "Options",
    "Row",
    "SourceOptions",
    "Totals",
    "Trace",
    "added_keys",
    "build",
    "build_info",
    "build_named",
    "capture",
    "check_kind",
    "check_target",
    "classifier",
    "convert",
    "convert_float",
    "find_part",
    "image_size",
    "inventory",
    "open_float",
    "open_latent",
    "options_of",
    "replay",
    "shrinking_stem",
    "summary",
    "totals",
    "unwrapped",
    "with_classes",
]
