"""A short run of every fuzzer, of the same cases each time; `make fuzz` is the long one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fuzzers
import pytest

RUN = Path(__file__).with_name("run.py")


@pytest.mark.slow
def test_files_are_taken_or_refused() -> None:
    """In a process of its own: torch's backward pass does not work in forks of one that has run it."""
    command = [sys.executable, str(RUN), "--short", "--dry", "--seed", "1"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=600)

    assert done.returncode == 0, done.stdout + done.stderr
    found = {line.split(",")[0]: line for line in done.stdout.splitlines() if ", " in line}
    assert list(found) == fuzzers.names()
    for line in found.values():
        assert ", 0 fine" not in line, line
        assert ", 0 refused" not in line, line
