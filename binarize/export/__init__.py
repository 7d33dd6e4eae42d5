"""Export to ONNX, one bit per binary weight, and the check that it still is the same model.

subject      what is exported
trace        torch module -> ONNX graph
passes/      seal, pack, fold_norm, tidy
forms/       how the file holds our ops: packed, inline, int8
classifier   the last layer with fewer bits
functions    what the packed ops mean, in standard ops
size         how large the file will be
validate     the file in stock onnxruntime against torch
"""

from binarize.export.exporting import ExportResult, export
from binarize.export.size import packed_size

__all__ = ["ExportResult", "export", "packed_size"]
