"""The tiers without onnxruntime: under the sanitizers here, and those of 64-bit Arm under qemu."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "binarize" / "kernels"
ARM = ("aarch64-linux-gnu-g++", "qemu-aarch64")


def built(folder: Path, *options: str) -> Path:
    """The test program, compiled into `folder`."""
    configure = ["cmake", "-S", str(SOURCES), "-B", str(folder), "-DBINARIZE_TESTS=ON", *options]
    for command in (configure, ["cmake", "--build", str(folder), "--target", "binarize_tiers"]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning:" not in done.stderr
    return folder / "binarize_tiers"


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
    assert "scalar: done" in passes(str(built(tmp_path, "-DBINARIZE_SANITIZE=ON")))


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(shutil.which, ("cmake", *ARM))),
    reason="needs a cross compiler: apt-get install cmake g++-aarch64-linux-gnu qemu-user",
)
def test_on_arm(tmp_path: Path) -> None:
    cross = ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64")
    program = built(tmp_path, *cross, f"-DCMAKE_CXX_COMPILER={ARM[0]}")
    assert "neon: done" in passes(ARM[1], "-L", "/usr/aarch64-linux-gnu", str(program))
