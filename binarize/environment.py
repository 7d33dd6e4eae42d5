"""Versions and machine: what env.json keeps beside a run's numbers and `binarize checks` shows."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "binarize",
    "torch",
    "torchvision",
    "timm",
    "accelerate",
    "numpy",
    "onnx",
    "onnxruntime",
)
CPU_FEATURES = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_vpopcntdq",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "sve",
)
"""The instruction sets that decide how fast bits can be multiplied, as Linux spells them."""


def describe() -> dict[str, dict[str, Any]]:
    """`{"versions": {package: version}, "machine": {…}}`; the machine's part imports torch."""
    return {"versions": versions(), "machine": machine()}


def versions() -> dict[str, str]:
    """Python's version and those of the packages that numbers depend on; "" where not installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return found


def machine() -> dict[str, Any]:
    """System, processor, its features of `CPU_FEATURES`, cores, threads, accelerators."""
    import torch

    processor = _cpuinfo()
    flags = processor.get("flags", processor.get("Features", "")).split()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": processor.get("model name", platform.processor() or platform.machine()),
        "cpu_features": [feature for feature in CPU_FEATURES if feature in flags],
        "cores": usable_cores(),
        "torch_threads": torch.get_num_threads(),
        "torch_cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "accelerators": _accelerators(),
    }


def usable_cores() -> int:
    """The cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpuinfo() -> dict[str, str]:
    """Linux's description of the first core; empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    lines = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _accelerators() -> list[str]:
    import torch

    if torch.cuda.is_available():
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.accelerator.is_available():
        return [str(torch.accelerator.current_accelerator())]
    return []
