"""The library in a program that has no Python: here, and on 64-bit Arm under qemu."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from kernel_nodes import ABSENT, LIBRARY, Node
from test_tiers_alone import ARM, SOURCES

PROGRAM = Path(__file__).with_name("from_c.cc")
ONNXRUNTIME = Path(onnxruntime.__file__).parent / "capi"
# libonnxruntime.so of the wheel for aarch64, unpacked
ARM_ONNXRUNTIME = os.environ.get("BINARIZE_TEST_ARM_ONNXRUNTIME")
NODE, SHAPE = Node("SignBinaryConv", (5, 33, 3, 3), pads=(1, 1, 1, 1)), (2, 33, 6, 7)


def compiled(folder: Path, compiler: str) -> Path:
    program = folder / "from_c"
    options = ["-std=c++17", "-Wall", "-Wextra", "-Werror", str(PROGRAM), "-ldl"]
    subprocess.run([compiler, "-o", str(program), *options], check=True)
    return program


def run(
    program: list[str], library: Path, kernels: Path | str, folder: Path
) -> subprocess.CompletedProcess[bytes]:
    """NODE's file, without the function that stock onnxruntime would need."""
    model = folder / "model.onnx"
    model.write_bytes(NODE.file(with_function=False))
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    command = [*program, str(library), str(kernels), str(model), "x", "y", *map(str, SHAPE)]
    return subprocess.run(command, input=x.tobytes(), capture_output=True)


def check(done: subprocess.CompletedProcess[bytes]) -> None:
    assert done.returncode == 0, done.stderr.decode()
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    given = np.frombuffer(done.stdout, np.float32)
    np.testing.assert_array_equal(given, NODE.expected(x).ravel())


@pytest.mark.skipif(LIBRARY is None, reason=ABSENT)
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++: apt-get install g++")
def test_through_the_c_interface(tmp_path: Path) -> None:
    library = next(ONNXRUNTIME.glob("libonnxruntime.so*"), None)
    if library is None:
        pytest.skip("this onnxruntime has no library for C beside it")
    program = [str(compiled(tmp_path, "g++"))]
    check(run(program, library, LIBRARY, tmp_path))
    refused = run(program, library, "", tmp_path)
    assert refused.returncode == 1
    assert b"SignBinaryConv" in refused.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(shutil.which, ("cmake", *ARM))) or ARM_ONNXRUNTIME is None,
    reason="needs a cross compiler, qemu-user, and BINARIZE_TEST_ARM_ONNXRUNTIME: onnxruntime for aarch64",
)
def test_on_arm_through_the_c_interface(tmp_path: Path) -> None:
    cross = ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"]
    cross.append(f"-DCMAKE_CXX_COMPILER={ARM[0]}")
    build = tmp_path / "build"
    subprocess.run(["cmake", "-S", str(SOURCES), "-B", str(build), *cross], check=True)
    subprocess.run(["cmake", "--build", str(build)], check=True)
    program = [ARM[1], "-L", "/usr/aarch64-linux-gnu", str(compiled(tmp_path, ARM[0]))]
    check(run(program, Path(ARM_ONNXRUNTIME), build / "libbinarize_ort.so", tmp_path))
