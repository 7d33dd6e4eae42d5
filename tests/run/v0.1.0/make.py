"""How the runs and files beside this script were made: `python make.py`, with binarize 0.1.0 alone."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import torch
from binarize.evaluate import evaluate
from binarize.export import export
from binarize.train import Reporter, train

import binarize
from binarize import api, environment, rewrite
from binarize.recipe import load

SMALL = {"channels": [4, 8, 16]}
HERE = Path("v0.1.0")


def convert() -> None:
    """±1 inputs, edited blocks, another estimator for some layers."""
    options = rewrite.Options(
        estimator={"name": "ab-tanh", "a_end": 0.8},
        keep=("layer3.2*",),
        force=("conv1",),
        activations="sign",
        structure="bireal",
        scale="learned",
        layers=({"match": "layer2*", "estimator": "ste"},),
    )
    out = HERE / "converted"
    api.convert_to_run("cifar_resnet20", options, out=out, pretrained=False, img_size=16, **SMALL)


def recipe() -> Any:
    """Four epochs of digits, with a float baseline."""
    data = {"name": "digits", "img_size": 16, "batch_size": 256, "workers": 0, "cache": True}
    return load(
        {
            "data": data,
            "seed": 3,
            "twin": True,
            "engine": {"threads": 1},
            "export": {"opset": 19},
            "model": {"name": "cifar_resnet20", "pretrained": False, "kwargs": SMALL},
            "binarize": {"estimator": "ab-tanh", "force": ["conv1"]},
            "stages": [{"epochs": 4, "optimizer": {"name": "momentum", "lr": 0.05}}],
        }
    )


class Killed(BaseException):
    """What ends the training that is to be resumed."""


class Kill(Reporter):
    """Ends it in the third epoch of the binarized model."""

    name = ""

    def phase(self, name: str, epochs: int, done: int) -> None:
        self.name = name

    def epoch(self, number: int, steps: int) -> None:
        if self.name == "binarized" and number == 3:
            raise Killed


def expected() -> dict[str, Any]:
    """Logits and accuracies."""
    found: dict[str, Any] = {"versions": environment.versions()}
    for name in ("converted", "trained", "trained/best", "trained/twin"):
        model = binarize.load(HERE / name)
        x = torch.linspace(-2, 2, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)
        with torch.no_grad():
            found[name] = {"logits": model(x).tolist()}
    targets = [str(HERE / "trained"), str(HERE / "trained" / "twin")]
    found["evaluate"] = [
        {
            "target": one.target.removeprefix("v0.1.0/"),
            "kind": one.kind,
            "top1": one.top1,
            "max_abs_diff": one.max_abs_diff,
        }
        for one in evaluate(targets, workers=0)
    ]
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    convert()
    train(recipe(), out=HERE / "trained")
    with contextlib.suppress(Killed):
        train(recipe(), out=HERE / "interrupted", reporter=Kill())
    for name in ("converted", "trained", "trained/twin"):
        export(str(HERE / name), HERE / name / "model.onnx")
    (HERE / "expected.json").write_text(json.dumps(expected(), indent=1))
