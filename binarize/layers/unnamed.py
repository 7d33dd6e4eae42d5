"""Objects of classes that are made while a program runs: pickle and copy cannot find them by name."""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from typing import Any

from torch import nn

_BY_NAME: Any = vars(copyreg)["__newobj__"]
"""What pickle makes an object with, of a class that it imports."""


def reduced(
    module: nn.Module, protocol: Any, base: type[nn.Module], new: Callable[..., Any], *which: Any
) -> Any:
    """What `__reduce_ex__` returns for a `module` of an unnamed subclass of `base`: that of `base`, but that
    `new(*which)` makes the object, without `__init__`."""
    found: Any = base.__reduce_ex__(module, protocol)
    make, arguments, *state = found
    if make is not _BY_NAME:
        return found
    return (new, (*which, *arguments[1:]), *state)
