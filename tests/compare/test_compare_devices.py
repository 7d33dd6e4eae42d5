"""Trials that are trained at a time are spread over the GPUs. No GPU is needed to see that."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import compare_sweeps as sweeps
import pytest
import torch

from binarize.comparing import schedule
from binarize.comparing.devices import least_used, visible_gpus
from binarize.comparing.schedule import child_environment, run_in_processes
from binarize.comparing.sweep import Manifest, write_sweep
from binarize.progress import Progress


def gpus(monkeypatch, count: int, visible: str | None) -> list[str]:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    return visible_gpus()


@pytest.mark.parametrize(
    ("count", "visible", "expected"),
    [
        (0, None, []),
        (0, "", []),
        (0, "-1", []),
        (3, None, ["0", "1", "2"]),
        (2, "5,2", ["5", "2"]),
        (2, "5, 2,-1,0", ["5", "2"]),
        (1, "GPU-8932f937-d72c", ["GPU-8932f937-d72c"]),
    ],
)
def test_the_gpus_are_those_of_this_process(monkeypatch, count, visible, expected):
    assert gpus(monkeypatch, count, visible) == expected


def test_a_trial_gets_the_gpu_that_fewest_use():
    assert least_used([], [None, None]) is None
    assert least_used(["5", "2"], []) == "5"
    assert least_used(["5", "2"], ["5"]) == "2"
    assert least_used(["5", "2"], ["5", "2", "5"]) == "2"


def test_the_environment_of_a_trial(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,2")
    monkeypatch.setenv("OTHER", "kept")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(schedule, "usable_cores", lambda: 8)
    on_gpu = child_environment(3, "2")
    assert (on_gpu["CUDA_VISIBLE_DEVICES"], on_gpu["OTHER"], on_gpu["OMP_NUM_THREADS"]) == (
        "2",
        "kept",
        "2",
    )
    assert child_environment(1, None)["CUDA_VISIBLE_DEVICES"] == "5,2"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert "CUDA_VISIBLE_DEVICES" not in child_environment(1, None)


def test_processes_that_run_at_a_time_have_a_gpu_each(tmp_path: Path, monkeypatch):
    gpus(monkeypatch, 2, None)
    manifest = Manifest("tiny", sweeps.CONTENTS, [], None, ["float", "ste"], 2)
    sweep = write_sweep(tmp_path / "sweep", manifest)
    together: list[list[str]] = []
    running: list[SimpleNamespace] = []

    def popen(command, env, **_more):
        child = SimpleNamespace(gpu=env["CUDA_VISIBLE_DEVICES"], stdin=None, returncode=None)
        child.ended = False

        def poll():  # each one ends when the next look comes, and the first one last
            together.append([one.gpu for one in running if not one.ended])
            child.ended = child is not running[0] or len(running) == 4
            child.returncode = 0 if child.ended else None
            return child.returncode

        child.poll = poll
        running.append(child)
        return child

    monkeypatch.setattr(schedule.subprocess, "Popen", popen)
    monkeypatch.setattr(schedule, "POLL_SECONDS", 0)
    run_in_processes(sweep, sweep.trials, None, 2, Progress(), lambda *_: None)
    assert [one.gpu for one in running] == ["0", "1", "1", "1"]
    assert all(len(set(names)) == len(names) for names in together)
    assert os.environ.get("CUDA_VISIBLE_DEVICES") is None
