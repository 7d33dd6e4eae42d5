"""How much a network may take that a file describes: a few times what the weights beside it do.

A description is a few letters and can ask for terabytes, or for a million layers. Whoever made it in good
faith wrote its weights too, so these say how much is to be expected. What torch is asked to make is counted
before it is made, and each tensor as a page at least, which bounds the number of layers too.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from binarize.errors import ModelError
from binarize.models.fake import MADE

PAGE = 4096
LEAST = 128 << 20
"""Bytes that any description may take: buffers, and what initialising needs for a while."""
PER_BYTE = 4
"""Bytes for each byte of the weights."""
ELEMENT = 4
COUNTED = MADE | {torch.arange, torch.linspace, torch.eye}


@contextlib.contextmanager
def budget_of(weights: Path, compressed: int = 1) -> Iterator[None]:
    """In this block, tensors of no more than a few times the bytes of the file `weights` are made.

    `compressed`: by how much the file may be smaller than float weights. Raises ModelError for more.
    """
    size = weights.stat().st_size if weights.is_file() else 0
    with _Counting(LEAST + PER_BYTE * compressed * size):
        yield


class _Counting(TorchFunctionMode):
    """Counts what is to be made."""

    def __init__(self, allowed: int) -> None:
        super().__init__()
        self.allowed, self.taken = allowed, 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func in COUNTED:
            self.taken += max(PAGE, ELEMENT * _elements(args, kwargs or {}))
            if self.taken > self.allowed:
                raise ModelError(
                    f"it would take more than {self.allowed >> 20} MiB, and its weights are far smaller",
                    "the description does not belong to these weights: make the run or file again",
                )
        return func(*args, **(kwargs or {}))


def _elements(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """The size that a function which makes tensors is asked for, or more where it takes other numbers."""
    size = kwargs.get("size", next((one for one in args if isinstance(one, (tuple, list))), args))
    return math.prod(int(one) for one in size if isinstance(one, (int, float)) and one >= 1)
