"""A run: the directory that `convert` or `train` makes and that every later command reads. No torch in here.

info      what run.json and the metadata of an ONNX file say, checked and typed (record: how)
  model, conversion, edits, fit   its parts, each a file
layout    what lies where in a run; finding runs
files     files and directories that appear whole or not at all
leftovers what a killed process was writing: locked while it lives, removed by the next one
answers   which classes a trained network takes for which
sensitivity  what each layer costs when it alone is binary
lock      one process at a time
tables    metrics.csv and indicators.csv
weights   state dicts in and out, without pickle (this one imports torch)
"""

from __future__ import annotations

from binarize.run.answers import Answers
from binarize.run.conversion import ConversionRecord, EstimatorSpec, LayerChoice, Stem
from binarize.run.files import new_directory, new_run, replacing, write_json, write_text
from binarize.run.fit import AllocationRecord, CurvePoint, FitRecord
from binarize.run.info import RunInfo
from binarize.run.layout import Run, is_run, locate, newest_run, open_run, write_info
from binarize.run.model import DataRecord, ModelSpec, Preprocess
from binarize.run.record import InvalidRecord
from binarize.run.sensitivity import LayerSensitivity, Sensitivities
from binarize.run.summary import EnvironmentRecord, MachineRecord

__all__ = [
    "AllocationRecord",
    "Answers",
    "ConversionRecord",
    "CurvePoint",
    "DataRecord",
    "EnvironmentRecord",
    "EstimatorSpec",
    "FitRecord",
    "InvalidRecord",
    "LayerChoice",
    "LayerSensitivity",
    "MachineRecord",
    "ModelSpec",
    "Preprocess",
    "Run",
    "RunInfo",
    "Sensitivities",
    "Stem",
    "is_run",
    "locate",
    "new_directory",
    "new_run",
    "newest_run",
    "open_run",
    "replacing",
    "write_info",
    "write_json",
    "write_text",
]
