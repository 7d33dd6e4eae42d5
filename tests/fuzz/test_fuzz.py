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
    lines = [line.split(", ") for line in done.stdout.splitlines() if ", " in line]
    assert [line[0] for line in lines] == fuzzers.names()
    for word in ("fine", "refused"):
        assert sum(int(count.split()[0]) for line in lines for count in line if word in count), (
            lines
        )
