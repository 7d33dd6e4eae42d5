"""From a float model to a binarized one: record, select, swap, verify; and back from a run."""

from binarize.rewrite.build import (
    added_keys,
    build,
    build_info,
    load_weights,
    locate,
    read_state,
    save_weights,
)
from binarize.rewrite.calibration import Calibrated, CalibrationImages
from binarize.rewrite.census import Layer, census
from binarize.rewrite.convert import Conversion, Row, convert, replay
from binarize.rewrite.options import Options, options_of
from binarize.rewrite.record import Recording, record
from binarize.rewrite.select import classifier
from binarize.rewrite.start import (
    Converted,
    Source,
    convert_source,
    image_size,
    open_source,
    with_classes,
)
from binarize.rewrite.stem import shrinking_stem
from binarize.rewrite.totals import Totals, summary, totals

__all__ = [
    "Calibrated",
    "CalibrationImages",
    "Conversion",
    "Converted",
    "Layer",
    "Options",
    "Recording",
    "Row",
    "Source",
    "Totals",
    "added_keys",
    "build",
    "build_info",
    "census",
    "classifier",
    "convert",
    "convert_source",
    "image_size",
    "load_weights",
    "locate",
    "open_source",
    "options_of",
    "read_state",
    "record",
    "replay",
    "save_weights",
    "shrinking_stem",
    "summary",
    "totals",
    "with_classes",
]
