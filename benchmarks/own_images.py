"""From one's own checkpoint and a folder without a split to answers: how right are they at each station?

    python benchmarks/own_images.py WORK

scikit-learn's 1,797 handwritten digits as PNG files of 8x8 pixels: `pictures/CLASS/N.png` are 1,400 of them,
on which the network of examples/plain_pytorch.py is trained as a float one, by a plain loop; `new/N.png` are
397 that nothing else sees. Then the command line alone:

    fitted    convert examples/plain_pytorch.py:network --checkpoint own.pth --classes names.txt
              --calib-data pictures
    tuned     train --recipe finetune --data-dir pictures, a fifth set aside, 10 epochs;
              exported with --with-preprocess

Both, and the float network (`float`: converted with --keep '*'), are asked by `predict new --csv`. A line
each is added to benchmarks/results/own_images.jsonl: top-1 on the new pictures, of the run and of its ONNX
file, bytes of that, seconds of the commands. WORK is a folder that does not exist yet.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from result_lines import append
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

NAME = "own_images"
EXAMPLE = Path(__file__).parents[1] / "examples" / "plain_pytorch.py"
PLACE = f"{EXAMPLE}:network"
KNOWN = 1400
SOURCE = ["--checkpoint", "own.pth", "--classes", "names.txt", "--img-size", "8"]
NORMALISED = ["--mean", "0.5", "--std", "0.5"]
RECIPE = ["--recipe", "finetune", "--data-dir", "pictures", "--epochs", "10", "--lr", "3e-3"]
SETTINGS = ["data.holdout=0.2", "data.workers=0", "data.augment.hflip=0", "data.augment.scale=null"]


def pixels_and_labels() -> tuple[Tensor, list[int]]:
    """uint8[1797, 8, 8], and the digit of each."""
    data = load_digits()
    pixels = torch.tensor(data.images * (255 / 16)).round().to(torch.uint8)
    return pixels, data.target.tolist()


def make_files(pixels: Tensor, labels: list[int]) -> None:
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = Path("pictures") / str(label) if number < KNOWN else Path("new")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.numpy()).save(folder / f"{number}.png")
    Path("names.txt").write_text("\n".join(map(str, range(10))))


def train_float(pixels: Tensor, labels: list[int]) -> None:
    """The checkpoint that a person has: 20 epochs of Adam."""
    spec = importlib.util.spec_from_file_location("plain_pytorch", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    torch.manual_seed(0)
    net: nn.Module = example.network()
    images = ((pixels[:KNOWN, None] / 255 - 0.5) / 0.5).expand(-1, 3, -1, -1)
    wanted = torch.tensor(labels[:KNOWN])
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(20):
        for chosen in torch.randperm(KNOWN).split(64):
            loss = F.cross_entropy(net(images[chosen]), wanted[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.save({"epoch": 20, "state_dict": net.state_dict()}, "own.pth")


def binarize(*arguments: str) -> tuple[str, float]:
    """(stdout, seconds) of a command."""
    began = time.monotonic()
    line = [sys.executable, "-m", "binarize", *arguments]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout, time.monotonic() - began


def top1(labels: list[int], *target: str) -> float:
    """Per cent of the new pictures whose first answer is right."""
    out, _ = binarize("predict", *target, "new", "--csv", "--top", "1")
    rows = list(csv.DictReader(io.StringIO(out)))
    right = [int(row["class"]) == labels[int(Path(row["image"]).stem)] for row in rows]
    assert len(right) == len(labels) - KNOWN
    return 100 * sum(right) / len(right)


def main() -> None:
    work = Path(sys.argv[1])
    work.mkdir(parents=True)
    os.chdir(work)
    pixels, labels = pixels_and_labels()
    make_files(pixels, labels)
    train_float(pixels, labels)
    code = ["--code", PLACE]
    sets = [word for setting in SETTINGS for word in ("--set", setting)]
    seconds: dict[str, float] = {}
    for name, arguments in {
        "float": ["convert", PLACE, *SOURCE, *NORMALISED, "--keep", "*", "-o", "float"],
        "fitted": [
            *("convert", PLACE, *SOURCE, *NORMALISED),
            *("--calib-data", "pictures", "-o", "fitted"),
        ],
        "tuned": ["train", "fitted", *RECIPE, *sets, *code, "-o", "tuned"],
    }.items():
        _, seconds[name] = binarize(*arguments)
    for name, inside in (("float", []), ("fitted", []), ("tuned", ["--with-preprocess"])):
        _, exported = binarize("export", name, "--onnx", f"{name}.onnx", *inside, *code)
        row: dict[str, Any] = {"row": name, "top1": round(top1(labels, name, *code), 2)}
        row |= {"top1_file": round(top1(labels, f"{name}.onnx"), 2)}
        row |= {"bytes": Path(f"{name}.onnx").stat().st_size}
        row |= {"seconds": round(seconds[name], 1), "export_seconds": round(exported, 1)}
        append(NAME, row)
        print(row)


if __name__ == "__main__":
    main()
