from __future__ import annotations

import os
import signal
import subprocess
import sys

from binarize.run.lock import held

HOLD = """
import sys, time
from pathlib import Path
from binarize.run.lock import held
with held(Path(sys.argv[1])) as alone:
    print(alone, flush=True)
    time.sleep(60)
"""


def test_one_holder_at_a_time(tmp_path):
    path = tmp_path / "cells" / "a.lock"
    with held(path) as first:
        assert first
        assert path.read_text() == f"{os.getpid()}\n"
        with held(path) as second:
            assert not second
        assert path.exists()
    assert not path.exists()
    with held(path) as again:
        assert again


def test_a_holder_that_is_killed_holds_nothing(tmp_path):
    path = tmp_path / "a.lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "True\n"
        with held(path) as alone:
            assert not alone
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert path.exists()  # as a power cut leaves it
    with held(path) as alone:
        assert alone
