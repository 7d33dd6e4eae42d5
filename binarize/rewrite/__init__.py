"""From a float model to a binarized one: record, select, swap, verify; and back from a run."""

from binarize.rewrite.build import added_keys, build, build_info, build_named
from binarize.rewrite.calibration import Calibrated, CalibrationImages
from binarize.rewrite.census import Layer, census
from binarize.rewrite.convert import Conversion, Row, convert, replay
from binarize.rewrite.options import Options, options_of
from binarize.rewrite.record import Recording, record
from binarize.rewrite.select import classifier
from binarize.rewrite.start import (
    Converted,
    Source,
    SourceOptions,
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
    "SourceOptions",
    "Totals",
    "added_keys",
    "build",
    "build_info",
    "build_named",
    "census",
    "classifier",
    "convert",
    "convert_source",
    "image_size",
    "open_source",
    "options_of",
    "record",
    "replay",
    "shrinking_stem",
    "summary",
    "totals",
    "with_classes",
]
