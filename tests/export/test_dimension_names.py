from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import binarize


@pytest.mark.parametrize("options", [{}, {"activations": "step"}])
def test_the_first_dimension_is_called_batch(tmp_path: Path, options: dict[str, str]) -> None:
    model = binarize.convert("cifar_resnet20", pretrained=False, **options)
    binarize.export(model, tmp_path / "x.onnx")
    graph = onnx.load(tmp_path / "x.onnx").graph
    shapes = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    ]
    assert shapes == [["batch", 3, 32, 32], ["batch", 10]]
    named = {
        dim.dim_param
        for value in graph.value_info
        for dim in value.type.tensor_type.shape.dim
        if dim.dim_param
    }
    assert named <= {"batch"}
