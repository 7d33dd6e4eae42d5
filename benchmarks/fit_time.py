"""What does fitting a network cost, beside as many training steps of its float network?

    python benchmarks/fit_time.py [ROUNDS]

`cifar_resnet20` on 1,024 images of noise, 32 pixels, in memory; one thread. In every round, in turn: `STEPS`
training steps of the float network (batches of 32, cross-entropy, SGD with momentum), and whole
`binarize.convert(…, calib_data=)`, conversion included, with 1 and 2 bases. CPU seconds of the process, split
by what `Progress` was told. One JSON line a round is added to benchmarks/results/fit_time.jsonl. Exits with 1
where the median of the ratios is above `LIMIT`.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import defaultdict

import torch
from result_lines import append
from torch import Tensor, nn
from torch.nn import functional as F

from binarize import converting
from binarize.fitting import IMAGES, STEPS
from binarize.models import create
from binarize.progress import Progress
from binarize.rewrite import Options, SourceOptions

LIMIT = 1.6
BATCH, SIDE, CLASSES = 32, 32, 10
BASES = (1, 2)


class Phases(Progress):
    """CPU seconds by task."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.what, self.began = "before", time.process_time()

    def task(self, what: str, total: int | None = None, done: int = 0) -> None:
        now = time.process_time()
        self.seconds[self.what] += now - self.began
        self.what, self.began = what, now


def train_float(images: Tensor, labels: Tensor) -> None:
    model = network().train().to(memory_format=torch.channels_last)  # as `binarize train` does
    images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    for step in range(STEPS):
        chosen = torch.arange(step * BATCH, (step + 1) * BATCH) % len(images)
        optimizer.zero_grad()
        F.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()


def fit(images: Tensor, bases: int) -> dict[str, float]:
    phases = Phases()
    converting.make(
        network(),
        Options(bases=bases, stem="keep"),
        SourceOptions(img_size=SIDE),
        calibration=converting.Calibration(images.split(BATCH)),
        progress=phases,
    )
    phases.task("after")
    return {what: round(seconds, 2) for what, seconds in phases.seconds.items()}


def network() -> nn.Module:
    """One that is nobody's but the caller's: weights that have a name and are random are not fitted."""
    torch.manual_seed(0)
    return create("cifar_resnet20", num_classes=CLASSES)


def main(rounds: int) -> int:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES + 256, 3, SIDE, SIDE, generator=generator)
    labels = torch.randint(CLASSES, (len(images),), generator=generator)
    ratios: dict[int, list[float]] = {bases: [] for bases in BASES}
    for number in range(rounds):
        began = time.process_time()
        train_float(images, labels)
        plain = time.process_time() - began
        line = {
            "round": number,
            "steps": STEPS,
            "batch": BATCH,
            "float_s": round(plain, 2),
            "fit": {},
        }
        for bases in BASES:
            phases = fit(images, bases)
            ratios[bases].append(sum(phases.values()) / plain)
            line["fit"][bases] = {"ratio": round(ratios[bases][-1], 3), "phases": phases}
        append("fit_time", line)
        print(json.dumps(line), flush=True)
    medians = {bases: statistics.median(found) for bases, found in ratios.items()}
    print({bases: f"{ratio:.2f}x" for bases, ratio in medians.items()}, f"limit {LIMIT}x")
    return int(any(ratio > LIMIT for ratio in medians.values()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 3))
