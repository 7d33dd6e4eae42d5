"""Training in processes of its own: killed, interrupted, several at once. Each one imports torch anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import following
import pytest
import torch
import train_runs as tiny
from safetensors.torch import load_file

from binarize.recipe import dump
from binarize.training import train

pytestmark = pytest.mark.slow

ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONWARNINGS": "ignore",
    "ACCELERATE_USE_CPU": "true",
}
BINARIZE = [sys.executable, "-m", "binarize"]


@pytest.fixture
def recipe_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(dump(tiny.recipe(3, **tiny.BINARY)))
    return "tiny.yaml"


def run(*command):
    return subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, timeout=240, check=False
    )


def stop_in_second_epoch(how, *arguments):
    """Start training, send the signal within the second epoch, return what was said and the exit code."""
    process = subprocess.Popen(
        [*BINARIZE, "train", *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("epoch 1/"):
            time.sleep(0.05)
            process.send_signal(how)
            break
    rest, errors = process.communicate(timeout=240)
    return said + rest, errors, process.returncode


def same(a, b):
    first, second = (load_file(f"{path}/last/model.safetensors") for path in (a, b))
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_killed_with_sigkill_and_resumed_it_ends_with_the_same_weights(recipe_file):
    train(recipe_file, out="whole")
    said, _, code = stop_in_second_epoch(signal.SIGKILL, "--recipe", recipe_file, "-o", "cut")
    assert code == -signal.SIGKILL
    assert "epoch 3/3" not in said
    assert not same("whole", "cut")
    resumed = run(*BINARIZE, "train", "--resume", "cut", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["epochs"] == 3
    assert "epochs, 1 of them done" in resumed.stderr
    assert same("whole", "cut")


def test_ctrl_c_says_how_to_go_on(recipe_file):
    said, errors, code = stop_in_second_epoch(signal.SIGINT, "--recipe", recipe_file, "-o", "cut")
    assert code == 130
    assert "resume it: binarize train --resume cut" in said
    assert errors == "error: interrupted\n"
    assert train(resume="cut").epochs == 3


def run_in_two(*command):
    """`accelerate launch --multi_gpu` does this on machines that have the devices for it."""
    launcher = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2")
    return run(*launcher, "--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0", *command)


def test_accelerate_launches_two_processes(recipe_file):
    launched = run_in_two(
        *("-m", "binarize", "train"),
        *("--recipe", recipe_file, "--set", "stages.0.epochs=1", "-o", "both", "--json"),
    )
    assert launched.returncode == 0, launched.stderr
    result = json.loads(launched.stdout)
    assert (result["run"], result["epochs"]) == ("both", 1)
    assert launched.stderr.count("epoch 1/1") == 1
    assert {path.name for path in Path().iterdir()} == {"both", "tiny.yaml"}

    train(recipe_file, overrides=["stages.0.epochs=1"], out="alone")
    both, alone = (load_file(f"{path}/last/model.safetensors") for path in ("both", "alone"))
    assert both["fc.bias"].shape == alone["fc.bias"].shape
    difference = (both["conv1.weight"] - alone["conv1.weight"]).abs()
    assert difference.mean() < 0.02  # norms see half a batch each: close, not equal
    assert difference.max() < 0.2


LEAVING = """
import atexit
from pathlib import Path
from torch import distributed
from binarize.training import train

# Registered before training registers anything: it runs after all of that.
atexit.register(lambda: Path(f"left{rank}").write_text(str(distributed.is_initialized())))
train("tiny.yaml", overrides=["stages.0.epochs=1"], out="both")
rank = distributed.get_rank()
"""


def test_processes_part_before_the_interpreter_ends(recipe_file):
    Path("leaving.py").write_text(LEAVING)
    launched = run_in_two("leaving.py")
    assert launched.returncode == 0, launched.stderr
    assert [Path(f"left{rank}").read_text() for rank in (0, 1)] == ["False", "False"]


PROBE = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import following, torch, train_toys as toys
from accelerate import PartialState
from binarize.layers import StepBinarizer, binarize_weight

following.save_losses(Path("losses"))

stage = {{"steps": 2, "optimizer": {{"name": "momentum", "lr": 0.05}}}}
chosen = toys.recipe(*({{**stage, "binary": name}} for name in ("none", "activations", "all")))
model = toys.network(binary=False)
binarizer = toys.WeightBinarizer(toys.estimators.get("ab-tanh"), toys.scale.get("channel"))
binarize_weight(model[2], "weight", binarizer, StepBinarizer(8, 1))
toys.train(chosen, Path("here"), model=model)
torch.save(model.state_dict(), f"rank{{PartialState().process_index}}.pt")
"""


def test_two_processes_follow_the_loss_of_one_and_calibrate_to_the_same_thresholds(recipe_file):
    Path("probe.py").write_text(PROBE.format(tests=str(Path(__file__).parent)))
    launched = run_in_two("probe.py")
    assert launched.returncode == 0, launched.stderr
    alone = following.losses(Path("alone"))
    shares = [torch.load(f"losses{rank}.pt", weights_only=True) for rank in (0, 1)]
    both = (shares[0] + shares[1]) / 2
    assert len(both) == following.STEPS == 20
    assert (shares[0] - shares[1]).abs().max() > 1e-3  # each saw images of its own
    assert (both - alone).abs().max() < 1e-4
    first, second = (torch.load(f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    learned = [key for key in first if "running" not in key and "batches" not in key]
    assert "2.weight_binarizer.inputs.threshold" in learned
    assert all(torch.equal(first[key], second[key]) for key in learned)
