"""A worker for the tests of coverage_worker: what it does with a job is said by the job."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import coverage_worker


def answer(job: dict[str, Any]) -> dict[str, Any]:
    if job["do"] == "die":
        os._exit(3)
    if job["do"] == "sleep":
        time.sleep(60)
    if job["do"] == "fill":
        return {"size": len(bytearray(job["bytes"]))}
    if job["do"] == "raise":
        raise ValueError("first line\nsecond line")
    print("this is no answer")
    return {"pid": os.getpid()}


if __name__ == "__main__":
    coverage_worker.serve(answer, 2 << 30)
