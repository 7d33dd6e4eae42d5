"""Exported files at work: what they say about themselves, and onnxruntime sessions of them."""

from binarize.runtime.metadata import FileInfo
from binarize.runtime.session import (
    NATIVE,
    Session,
    metadata,
    needs_kernels,
    open_session,
    quiet_session,
    uses_kernels,
)

__all__ = [
    "NATIVE",
    "FileInfo",
    "Session",
    "metadata",
    "needs_kernels",
    "open_session",
    "quiet_session",
    "uses_kernels",
]
