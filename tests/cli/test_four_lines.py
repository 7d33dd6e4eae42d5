"""The four lines of the README, typed in an empty folder with nothing else; training is cut short."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typed import run

LINES = (
    "binarize convert resnet18 --estimator ab-tanh",
    "binarize train --recipe digits --set twin=false --set stages.0.epochs=3",
    "binarize export --onnx",
    "binarize eval",
)
PROGRESS = re.compile(r" …$| of [0-9,]+ \([0-9]+ %\)")
"""What work of more than ten seconds says on the way."""


def type_in(line, folder):
    """Run `line` in a shell whose PATH begins with this Python's programs."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        line,
        shell=True,
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_four_lines_take_resnet18_to_an_evaluated_onnx_file(folder, capsys):
    named = (
        "binarize train runs/resnet18-ab-tanh --recipe imagenet-resnet18",
        *LINES[2:],
        "binarize ",
    )
    for line, following in zip(LINES, named, strict=True):
        done = type_in(line, folder)
        assert done.returncode == 0, (line, done.stderr)
        talk = [said for said in done.stderr.splitlines() if not PROGRESS.search(said)]
        assert all(said.startswith(("warning: ", "hint: ")) for said in talk), done.stderr
        assert done.stdout.splitlines()[-1].startswith(f"next: {following}"), line
    assert run("eval", "--json") == 0
    torch_one, onnx_one = json.loads(capsys.readouterr().out)
    assert (torch_one["kind"], onnx_one["kind"]) == ("torch", "onnx")
    for one in (torch_one, onnx_one):
        assert one["images"] == 360
        assert one["top1"] > 50  # ten classes: it has learned
        assert one["top1"] <= one["top5"] <= 100
        assert one["images_per_s"] > 0
    assert onnx_one["max_abs_diff"] <= 1e-4 * onnx_one["max_abs_logit"]
    assert onnx_one["top1"] == pytest.approx(torch_one["top1"], abs=0.6)
