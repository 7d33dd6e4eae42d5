"""The graph as a file."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import EncodeError

from binarize.errors import ExportError
from binarize.runtime import FileInfo

PRODUCER = "binarize"


def write(model: ir.Model, info: FileInfo, path: Path) -> None:
    """Write `model` with its description to `path`. Raises ExportError above 2 GiB, ONNX's limit."""
    model.producer_name, model.producer_version = PRODUCER, info.versions["binarize"]
    model.graph.name = info.model.name
    model.metadata_props.update(info.to_properties())
    try:
        proto = ir.to_proto(model)
        del proto.graph.value_info[:]  # types and shapes between nodes: every reader infers them
        content = proto.SerializeToString()
    except (EncodeError, ValueError) as error:
        raise ExportError(
            "the file would be larger than the 2 GiB that ONNX allows",
            "binarize more of its layers",
        ) from error
    onnx.checker.check_model(content)
    path.write_bytes(content)
