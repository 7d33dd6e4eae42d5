"""The forms of a file as parameters of tests: those that can run here, and those that run everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from binarize.exporting.forms import FORMS
from binarize.kernels import installed
from binarize.runtime import NATIVE, metadata, open_session

needs_kernels = pytest.mark.skipif(installed() is None, reason="needs the native kernels")
STOCK = [name for name, form in FORMS.items() if not form.kernels]
HERE = [
    pytest.param(name, marks=[needs_kernels] if form.kernels else [])
    for name, form in FORMS.items()
]


def logits(path: Path, images: torch.Tensor) -> np.ndarray:
    """Of stock onnxruntime, where that can run it."""
    return open_session(path, kernels=metadata(path).form == NATIVE).logits(images.numpy())
