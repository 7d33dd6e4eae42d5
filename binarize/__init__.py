"""Turn an existing vision network into a 1-bit one.

    model = binarize.convert("resnet18")            # nn.Module, binary weights
    run = binarize.train("digits", "resnet18")      # fine-tune it
    binarize.export(run.run, "resnet18.onnx")       # one bit per binarized weight
    binarize.evaluate(["resnet18.onnx"])            # in onnxruntime
    binarize.bench(["resnet18.onnx"])               # beside the float model

Importing this module imports no torch: every name below is fetched when it is first used.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from binarize import estimators
    from binarize.api import bench, convert, evaluate, export, load, train
    from binarize.kernels import ort_library

    __version__: str

__all__ = [
    "__version__",
    "bench",
    "compare",
    "convert",
    "estimators",
    "evaluate",
    "export",
    "load",
    "ort_library",
    "report",
    "train",
]

_PACKAGES_OF_THAT_NAME = ("train", "export", "evaluate", "compare", "report", "bench")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("binarize")
    if name == "estimators" or name in _PACKAGES_OF_THAT_NAME:
        return importlib.import_module(f"binarize.{name}")
    if name == "ort_library":
        return importlib.import_module("binarize.kernels").ort_library
    if name in __all__:
        return getattr(importlib.import_module("binarize.api"), name)
    raise AttributeError(f"module 'binarize' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _CallablePackage(ModuleType):
    """`binarize.train` is a package that holds a function `train`: calling the package calls that."""

    @property
    def _function(self) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])

    @property
    def __signature__(self) -> Any:
        return importlib.import_module("inspect").signature(self._function)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._function(*args, **options)


class _Face(ModuleType):
    """This package. The import system sets each subpackage as an attribute of it, which we watch."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _PACKAGES_OF_THAT_NAME and isinstance(value, ModuleType):
            value.__class__ = _CallablePackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
