"""Export to ONNX, one bit per binary weight, and the check that it still is the same model.

subject     what is exported
to_onnx     torch module -> ONNX graph
passes/     pack, fuse, fold norms, strip metadata, each in a file
forms/      how the file holds binarize ops: packed, inline, int8
classifier  the last layer with fewer bits
functions   what the packed ops mean, in standard ops
size        how large the file will be
validate    the file in stock onnxruntime against torch
"""

from binarize.exporting.exporting import ExportResult, export, packed_file_bytes
from binarize.exporting.size import packed_size

__all__ = ["ExportResult", "export", "packed_file_bytes", "packed_size"]
