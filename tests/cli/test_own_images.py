"""The whole road: one's own network and checkpoint, a folder without a split, answers from the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from typed import run

from binarize.runtime import metadata

NETS = """
from torch import nn


def make_net(classes=2):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes),
    )
"""
PLACE = "nets.py:make_net"
SIZE = (12, 16)
COLOURS = {"blue sky": (40, 90, 220), "red brick": (200, 60, 40)}


def picture(colour, number: int) -> np.ndarray:
    noise = np.random.default_rng(number).integers(-40, 40, (*SIZE, 3))
    return np.clip(noise + colour, 0, 255).astype(np.uint8)


@pytest.fixture
def own(folder: Path) -> Path:
    """nets.py, its checkpoint as a training writes it, names of classes, and pictures of both."""
    (folder / "nets.py").write_text(NETS)
    (folder / "names.txt").write_text("\n".join(COLOURS))
    arrays = [picture(colour, n) for colour in COLOURS.values() for n in range(20)]
    for number, array in enumerate(arrays):
        path = folder / "pictures" / list(COLOURS)[number // 20] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
    names: dict = {}
    exec(NETS, names)
    torch.manual_seed(0)
    net = names["make_net"]()
    images = (torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    labels = torch.arange(2).repeat_interleave(20)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(30):
        loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    state = {f"module.{key}": value for key, value in net.state_dict().items()}
    torch.save({"epoch": 30, "state_dict": state}, folder / "own.pth")
    return folder


def test_from_an_own_checkpoint_to_answers(own, capsys):
    source = ("--checkpoint", "own.pth", "--classes", "names.txt", "--mean", 0.5, "--std", 0.5)
    calibration = ("--calib-data", "pictures", "--calib-images", 16, "--calib-steps", 8)
    shape = ("--img-size", "12x16")
    assert run("convert", PLACE, *source, *shape, *calibration, "-o", "runs/fitted") == 0
    data = ("--data-dir", "pictures", "--set", "data.holdout=0.2", "--set", "data.workers=0")
    settings = ("--epochs", 2, "--batch-size", 8, "--seed", 1, "--set", "data.augment.scale=null")
    capsys.readouterr()
    recipe = ("--recipe", "finetune", *data, *settings)
    code = ("--code", PLACE)
    assert run("train", "runs/fitted", *recipe, *code, "-o", "runs/own", "--json") == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["top1_on"], told["epochs"], told["top1"]) == ("holdout", 2, 100)
    assert '--epochs is of the last of 2 stages, "labels"' in err
    assert 'stage "fit" is skipped' in err
    assert "top-1 on the held-out images 100.00 % after 2 epochs" in err

    assert run("export", "runs/own", "--onnx", "own.onnx", "--with-preprocess", *code) == 0
    assert metadata("own.onnx").classes == list(COLOURS)
    (own / "new").mkdir()
    for number, (name, colour) in enumerate(COLOURS.items()):
        Image.fromarray(picture(colour, 100 + number)).save(own / "new" / f"{name}.png")
    capsys.readouterr()
    assert run("predict", "own.onnx", "new", "--json") == 0
    of_file = json.loads(capsys.readouterr().out)
    assert run("predict", "runs/own", "new", "--json", *code) == 0
    of_run = json.loads(capsys.readouterr().out)
    for answer, same, name in zip(of_file, of_run, COLOURS, strict=True):
        best = answer["predictions"][0]
        assert (answer["image"], best["class"]) == (f"new/{name}.png", name)
        assert best["probability"] > 0.6
        assert same["predictions"][0]["probability"] == pytest.approx(best["probability"], abs=1e-4)
