from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import killing
import pytest
from train_toys import last, rows, same

pytestmark = pytest.mark.slow


def test_killed_at_twenty_random_moments_it_ends_with_the_same_weights(tmp_path):
    script = [sys.executable, "-W", "ignore", killing.__file__, str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["killed"] == killing.KILLS
    assert len(set(told["begun"])) > 5, "the lives were too short to get anywhere"
    assert same(last(tmp_path / "cut"), last(tmp_path / "whole"))
    one, other = rows(tmp_path / "cut"), rows(tmp_path / "whole")
    timed = ("seconds", "images_per_s")
    assert [{k: v for k, v in row.items() if k not in timed} for row in one] == [
        {k: v for k, v in row.items() if k not in timed} for row in other
    ]
    cut, whole = ((tmp_path / name / "indicators.csv").read_text() for name in ("cut", "whole"))
    assert cut == whole
    assert not [path for path in Path(tmp_path / "cut").iterdir() if path.name.startswith(".")]
