"""Interleaved timings of exported files in onnxruntime."""
