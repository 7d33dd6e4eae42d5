"""Exported files at work: what they say about themselves, and onnxruntime sessions of them."""

from binarize.runtime.metadata import FileInfo
from binarize.runtime.session import (
    Session,
    metadata,
    open_session,
    quiet_session,
    uses_kernels,
)

__all__ = ["FileInfo", "Session", "metadata", "open_session", "quiet_session", "uses_kernels"]
