"""What the benchmarks of fitting share: images as tensors, top-1, and lines that are measured once.

A network is fitted to its float parent through the Python face. A line that stands in the results is not
measured again, so that a benchmark goes on where it was stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from result_lines import RESULTS, append
from torch import Tensor, nn

from binarize.data.digits import digits
from binarize.data.files import open_files
from binarize.data.transforms import test_transform
from binarize.fitting import CalibrationData
from binarize.rewrite import FloatModel, open_float
from binarize.run import Preprocess

TEST_BATCH = 100


def lines(name: str) -> list[dict[str, Any]]:
    """Those of benchmarks/results/NAME.jsonl, oldest first."""
    path = RESULTS / f"{name}.jsonl"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines()]


def once(name: str, key: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> None:
    """Add the line `key | measure()` with the CPU seconds that it took, unless there is one with that key."""
    if any(key.items() <= line.items() for line in lines(name)):
        return
    began = time.process_time()
    found = measure()
    line = key | {"cpu_s": round(time.process_time() - began, 1)} | found
    append(name, line)
    print(json.dumps(line), flush=True)


def digit_images(split: str, preprocess: Preprocess) -> tuple[Tensor, Tensor]:
    """(images [N, 3, H, W] as the network takes them, labels [N]) of scikit-learn's digits."""
    data = digits(split)
    mean, std = (torch.tensor(v)[:, None, None] for v in (preprocess.mean, preprocess.std))
    return (data.pixels / 255 - mean) / std, data.labels


@torch.no_grad()
def top1(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """In per cent."""
    model.eval()
    answers = torch.cat([model(batch).argmax(1) for batch in images.split(TEST_BATCH)])
    return round(100 * (answers == labels).double().mean().item(), 2)


def fit_figures(model: nn.Module) -> dict[str, Any]:
    """What the fit says of itself."""
    fit = model.binarize_info.fit
    return {
        "error": [round(fit.error_before, 3), round(fit.error_after, 3)],
        "agreement": [fit.agreement_before, fit.agreement_after],
        "fit_s": fit.seconds,
    }


@dataclass(frozen=True)
class Task:
    """A trained float network and its images.

    Attributes:
        name: of its run.
        images, labels: test images [N, 3, H, W] as the network takes them, their classes [N].
        calib_data: training images.
    """

    name: str
    float_model: FloatModel
    images: Tensor
    labels: Tensor
    calib_data: CalibrationData

    @property
    def n(self) -> int:
        return len(self.labels)

    def top1_of_float(self) -> float:
        return top1(self.float_model.model, self.images, self.labels)


def open_task(run: Path, data: Path | None, n: int) -> Task:
    """That of the float network in `run`, with `n` of the test images in `data`, evenly spread, or without
    `data` with all of the digits."""
    float_model = open_float(run)
    preprocess = float_model.info.preprocess
    if data is None:
        images, labels = digit_images("test", preprocess)
        train, _ = digit_images("train", preprocess)
        return Task(run.name, float_model, images, labels, list(train.split(64)))
    test = open_files(data, "test", float_model.info.classes)
    test = test.only(np.linspace(0, len(test) - 1, n).round().astype(int).tolist())
    test.transform = test_transform(preprocess)
    pixels = torch.stack([test[number][0] for number in range(len(test))])
    return Task(run.name, float_model, pixels, test.labels, data)
