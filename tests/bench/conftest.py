"""A small run with its ONNX file, and its float model as a file: made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import binarize
from binarize import api
from binarize.benching.baseline import export_float
from binarize.rewrite import Options, SourceOptions
from binarize.runtime import metadata


@pytest.fixture(scope="session")
def packed_run(tmp_path_factory) -> Path:
    """A small `cifar_resnet20` with random weights that holds model.onnx. Tests read it, none changes it."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("bench") / "run"
    source = SourceOptions(pretrained=False, kwargs={"blocks": 1})
    api.convert_to_run("cifar_resnet20", Options(), source, out=path)
    binarize.export(path, path / "model.onnx")
    return path


@pytest.fixture(scope="session")
def packed(packed_run) -> Path:
    return packed_run / "model.onnx"


@pytest.fixture(scope="session")
def float_file(packed, tmp_path_factory) -> Path:
    """The float model that `packed` is held against."""
    path = tmp_path_factory.mktemp("float") / "float.onnx"
    export_float(metadata(packed), path, packed)
    return path
