"""Tiers, products and scratch memory without onnxruntime: under the sanitizers and on 64-bit Arm (qemu)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "binarize" / "kernels"
ARM = ("aarch64-linux-gnu-g++", "qemu-aarch64")
CPU = Path("/proc/cpuinfo")
MATRIX_TILES = CPU.exists() and "amx_int8" in CPU.read_text()


def built(folder: Path, *options: str) -> list[str]:
    """The test programs, compiled into `folder`: of tiers, products and scratch memory."""
    programs = ("binarize_tiers", "binarize_products", "binarize_scratch")
    configure = ["cmake", "-S", str(SOURCES), "-B", str(folder), "-DBINARIZE_TESTS=ON", *options]
    for command in (configure, ["cmake", "--build", str(folder), "--target", *programs]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning:" not in done.stderr
    return [str(folder / program) for program in programs]


def passes(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith(" passed, 0 failed")
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("g++")),
    reason="needs cmake and g++: apt-get install cmake g++",
)
def test_under_the_sanitizers(tmp_path: Path) -> None:
    tiers, products, scratch = built(tmp_path, "-DBINARIZE_SANITIZE=ON")
    assert "scalar: done" in passes(tiers)
    assert "portable: done" in passes(products, "100")
    passes(scratch)


@pytest.mark.slow
@pytest.mark.skipif(not MATRIX_TILES, reason="needs a CPU with AMX")
def test_in_matrix_tiles(tmp_path: Path) -> None:
    tiers, products, _ = built(tmp_path)
    assert "amx: done" in passes(tiers)
    assert "amx: done" in passes(products)


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(shutil.which, ("cmake", *ARM))),
    reason="needs a cross compiler: apt-get install cmake g++-aarch64-linux-gnu qemu-user",
)
def test_on_arm(tmp_path: Path) -> None:
    cross = ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64")
    tiers, products, scratch = built(tmp_path, *cross, f"-DCMAKE_CXX_COMPILER={ARM[0]}")
    emulator = (ARM[1], "-L", "/usr/aarch64-linux-gnu")
    assert "neon: done" in passes(*emulator, tiers)
    assert "portable: done" in passes(*emulator, products, "30")
    passes(*emulator, scratch)
