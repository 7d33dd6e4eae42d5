"""benchmarks/cifar10_resnet18.sh: what it asks of `binarize`. It is made for hours of a GPU."""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from binarize.comparing.variants import parse_variant
from binarize.recipe import load

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "cifar10_resnet18.sh"
RECORDER = """#!/bin/sh
for word in "$@"; do printf '%s ' "$word"; done >> asked; echo >> asked
"""


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Run the script with these settings; returns what it called `binarize` with, word by word."""
    monkeypatch.chdir(tmp_path)
    Path("recorder").write_text(RECORDER)
    Path("recorder").chmod(0o755)

    def run(**settings):
        Path("asked").unlink(missing_ok=True)
        environment = {**os.environ, "BINARIZE": "./recorder", **settings}
        subprocess.run(["sh", SCRIPT, "data", "out"], env=environment, check=True)
        return [shlex.split(line) for line in Path("asked").read_text().splitlines()]

    return run


def after(words, option):
    return [value for name, value in itertools.pairwise(words) if name == option]


def test_it_asks_for_what_the_literature_does(asked):
    compared, trained = asked()
    assert (compared[0], trained[0]) == ("compare", "train")
    recipe = load(after(compared, "--recipe")[0], after(compared, "--set"))
    assert (recipe.stages[0].epochs, recipe.data.cache) == (250, "device")
    variants = [
        parse_variant(variant).name for variant in after(compared, "--estimators")[0].split(",")
    ]
    assert variants == ["float", "ste", "reste", "ab-tanh", "ab-arctan"]
    recipe = load(after(trained, "--recipe")[0])
    assert [stage.binary for stage in recipe.stages] == ["activations", "all"]
    assert all(stage.distill.teacher == "float" for stage in recipe.stages)


def test_it_does_less_when_told_and_goes_on(asked):
    (compared,) = asked(PARTS="w1a32", EPOCHS="3", WARMUP="0", ARMS="ab-tanh", SEEDS="2", JOBS="2")
    recipe = load(after(compared, "--recipe")[0], after(compared, "--set"))
    assert (recipe.stages[0].epochs, recipe.stages[0].schedule.warmup_epochs) == (3, 0)
    for option, value in (("--estimators", "ab-tanh"), ("--seeds", "2"), ("--jobs", "2")):
        assert after(compared, option) == [value]
    Path("out/w1a1").mkdir()
    assert asked(PARTS="w1a1") == [["train", "--resume", "out/w1a1"]]
