"""Shared by all tests: helper modules beside a test can be imported by their name."""

from __future__ import annotations

import copy
import functools
import gc
import sys
from typing import Any

REGISTRATION = "torch.onnx._internal.exporter._registration"
OPERATORS = "torch._export.utils"


def pytest_collection_finish() -> None:
    """What has been imported stays: the garbage collector need not visit half a million objects again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    """Nothing is imported for it: it waits until a test has exported something."""
    module = sys.modules.get(REGISTRATION)
    if module is not None:
        keep_tables(module.ONNXRegistry)
        keep_operators(sys.modules[OPERATORS])


@functools.cache
def keep_tables(registry: Any) -> None:
    """Have torch build its table of ONNX functions once per opset, not again in every export.

    Building it takes about as long as all the rest of a small network's export. Each export gets a copy.
    """
    build = functools.cache(registry.from_torchlib)

    def from_torchlib(**options: Any) -> Any:
        table = copy.copy(build(**options))
        table.functions = {op: list(found) for op, found in table.functions.items()}
        return table

    registry.from_torchlib = staticmethod(from_torchlib)


@functools.cache
def keep_operators(utils: Any) -> None:
    """Have torch look its own operators up once, not again for each of their libraries in every export."""
    utils._materialize_cpp_cia_ops = functools.cache(utils._materialize_cpp_cia_ops)
