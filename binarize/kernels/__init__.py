"""Where the native kernels for onnxruntime are, if this installation has them.

They are one shared library, built from the C++ beside this file when the package is installed and a
compiler is at hand. onnxruntime loads it by path (`SessionOptions.register_custom_ops_library`), from any
language; see docs/kernels.md.
"""

from __future__ import annotations

import ctypes
import sys
from importlib import metadata
from pathlib import Path

from binarize.errors import BinarizeError

_SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
NAME = ("" if sys.platform == "win32" else "lib") + "binarize_ort" + _SUFFIX


def installed() -> Path | None:
    """The library's path; None where it was not built."""
    beside = Path(__file__).with_name(NAME)
    if beside.is_file():
        return beside
    try:  # an editable installation keeps what was built away from the sources
        files = metadata.distribution("binarize").files or []
    except metadata.PackageNotFoundError:
        return None
    places = (Path(str(file.locate())) for file in files if file.name == NAME)
    return next((place for place in places if place.is_file()), None)


def ort_library() -> str:
    """Path of the library, for `register_custom_ops_library` of onnxruntime in any language.

    Raises BinarizeError where this installation has none.
    """
    path = installed()
    if path is None:
        raise BinarizeError(
            "this installation of binarize has no native kernels",
            "install a C++17 compiler, then binarize again: pip install --force-reinstall --no-deps binarize",
        )
    return str(path)


def tier() -> str | None:
    """The instruction set that the kernels use on this CPU: "avx512", "avx2", "neon" or "scalar", or the one
    that the environment variable BINARIZE_TIER names (or what is wrong with that); None without kernels."""
    path = installed()
    if path is None:
        return None
    library = ctypes.CDLL(str(path))
    library.binarize_tier.restype = ctypes.c_char_p
    return library.binarize_tier().decode()


def computes_wide() -> bool:
    """Whether the tier of this CPU has kernels for domain `binarize.wide` (docs/op-spec.md); without kernels
    no."""
    path = installed()
    return path is not None and bool(ctypes.CDLL(str(path)).binarize_computes_wide())
