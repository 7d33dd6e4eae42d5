"""Turn an existing vision network into a 1-bit one.

    model = binarize.convert("resnet18")            # nn.Module, binary weights
    run = binarize.train("digits", "resnet18")      # fine-tune it
    binarize.export(run.run, "resnet18.onnx")       # one bit per binarized weight
    binarize.evaluate(["resnet18.onnx"])            # in onnxruntime
    binarize.predict("resnet18.onnx", "photo.jpg")  # class names and probabilities
    binarize.bench(["resnet18.onnx"])               # beside the float model

Importing this module imports no torch: every name below is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from binarize import estimators
    from binarize.api import convert, load, sensitivity
    from binarize.benching import bench
    from binarize.comparing import compare
    from binarize.evaluation import evaluate
    from binarize.exporting import export
    from binarize.kernels import ort_library
    from binarize.layers import Schedule
    from binarize.models import own_code
    from binarize.predicting import predict
    from binarize.reporting import report
    from binarize.training import train

    __version__: str

__all__ = [
    "Schedule",
    "__version__",
    "bench",
    "compare",
    "convert",
    "estimators",
    "evaluate",
    "export",
    "load",
    "ort_library",
    "own_code",
    "predict",
    "report",
    "sensitivity",
    "train",
]

_FOUND_IN = {
    "Schedule": "layers",
    "bench": "benching",
    "compare": "comparing",
    "convert": "api",
    "evaluate": "evaluation",
    "export": "exporting",
    "load": "api",
    "ort_library": "kernels",
    "own_code": "models",
    "predict": "predicting",
    "report": "reporting",
    "sensitivity": "api",
    "train": "training",
}
"""Name -> the module of this package that has it."""


if not TYPE_CHECKING:  # which takes every other name for a mistake

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("binarize")
        if name == "estimators":
            return importlib.import_module("binarize.estimators")
        if name in _FOUND_IN:
            return getattr(importlib.import_module(f"binarize.{_FOUND_IN[name]}"), name)
        raise AttributeError(f"module 'binarize' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
