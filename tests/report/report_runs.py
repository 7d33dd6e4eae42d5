"""A run made of files alone: nothing is trained for it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from binarize.recipe import dump, load
from binarize.run import RunInfo, write_info, write_json

RECIPE = {
    "model": {"name": "toy", "pretrained": False},
    "binarize": {
        "estimator": {"name": "ab-tanh", "k_end": 7.0},
        "layers": [{"match": "conv2", "estimator": "ste"}],
    },
    "data": {"name": "folder", "dir": "images"},
    "stages": [
        {"name": "warm", "epochs": 1, "optimizer": {"name": "adamw", "lr": 0.01}, "binary": "none"},
        {"epochs": 2, "optimizer": {"lr": 0.1}},
    ],
}
METRICS = {
    "epoch": [1, 2, 3],
    "lr": [0.1, 0.05, 0.01],
    "train_loss": [2.5, 1.5, 1.25],
    "val_top1": [50, 72.5, 70],
    "test_loss": ["", "", 0.9],
    "test_top1": ["", "", 71.25],
    "test_top5": ["", "", 95.5],
    "estimating_error": ["", 3.5, 3.25],
    "flip_ratio": ["", 0.2, 0.125],
    "seconds": [10, 20, 30],
}
TWIN = {"epoch": [1, 2, 3], "train_loss": [2, 1, 0.5], "test_top1": ["", "", 75.5]}
LAYER = {"kind": "conv2d", "shape": [16, 16, 3, 3], "source": "relu", "params": 2304, "macs": 9}
LAYERS = [
    {**LAYER, "name": "conv1", "action": "kept", "reason": "first layer: it sees the <image>"},
    {**LAYER, "name": "conv2", "action": "binarized", "reason": ""},
]
INDICATORS = {
    "epoch": [2, 3],
    "layer": ["conv2", "conv2"],
    "estimating_error": [3.5, 3.25],
    "flip_ratio": [0.2, 0.125],
    "saturation": ["", ""],
}
ENVIRONMENT = {
    "versions": {"python": "3.11", "binarize": "0.1.0", "torch": "9.9"},
    "machine": {"cpu": "Abacus", "cores": 2, "accelerators": []},
}


def write_csv(path: Path, columns: dict[str, list[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def info(**changes: Any) -> RunInfo:
    conversion = {
        "parameters": ["conv2.weight"],
        "estimator": {"name": "ab-tanh", "k_end": 7.0},
        "scale": "channel",
        "standardise": True,
        "activations": "float",
        "layers": [{"match": "conv2", "estimator": {"name": "ste"}}],
    }
    given = {
        "kind": "trained",
        "model": {"name": "toy", "library": "timm"},
        "conversion": conversion,
        "weights": "random",
        "preprocess": {
            "img_size": 32,
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
        },
        "data": {"name": "folder", "dir": "images"},
        "classes": ["cat", "dog"],
        "created": 0.0,
    }
    return RunInfo.from_data({"format": 2, **given, **changes})


def trained(path: Path) -> Path:
    """A finished run with a float baseline, held-out images and indicators."""
    converted(path)
    write_csv(path / "metrics.csv", METRICS)
    write_csv(path / "twin" / "metrics.csv", TWIN)
    write_csv(path / "indicators.csv", INDICATORS)
    (path / "recipe.resolved.yaml").write_text(dump(load(RECIPE)))
    write_info(path, info())
    return path


def converted(path: Path) -> Path:
    """A run that was never trained."""
    path.mkdir(parents=True)
    totals = {
        "params_1bit": 2304,
        "params_32bit": 100,
        "macs_1bit": 9,
        "macs_32bit": 9,
        "bytes_float": 4096,
        "bytes_packed": 512,
    }
    write_json(path / "summary.json", {"layers": LAYERS, "totals": totals})
    write_json(path / "env.json", ENVIRONMENT)
    write_info(path, info(kind="converted", data={}, classes=[]))
    return path
