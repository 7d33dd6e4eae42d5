"""How much memory the kernels keep between runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from kernel_nodes import ABSENT, LIBRARY, Node, session, tier
from test_tiers_alone import SOURCES, passes

MIB = 1 << 20
STATM = Path("/proc/self/statm")


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++: apt-get install g++")
def test_blocks_are_reused_and_their_bytes_capped(tmp_path: Path) -> None:
    program = str(tmp_path / "scratch")
    source = str(SOURCES / "test" / "scratch.cc")
    options = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-pthread"]
    subprocess.run(["g++", *options, "-o", program, source], check=True)
    passes(program)


@pytest.mark.skipif(LIBRARY is None, reason=ABSENT)
@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read from /proc")
def test_memory_of_a_very_wide_image_is_given_back() -> None:
    """Three rows of 400,000 pixels with a table of 64 bytes each: 73 MiB while the layer runs."""
    with tier("scalar"):
        runner = session(Node("BinaryConv", (1, 1, 3, 3)).file())
    before = _resident()
    runner.run(None, {"x": np.zeros((1, 1, 3, 400_000), np.float32)})
    assert _resident() - before < 40 * MIB  # while the library is loaded


def _resident() -> int:
    """Bytes of this process that are in memory."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
