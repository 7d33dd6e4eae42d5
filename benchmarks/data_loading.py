"""What does a batch of CIFAR-sized images cost to cut, flip and normalise: whole, or image by image?

    python benchmarks/data_loading.py

128 cached images of 32x32, pad-4 crop and flip, loaded by 0, 1 and 2 worker processes; the median of
`BATCHES` batches counts, the first ones left out. One JSON line is added to
benchmarks/results/data_loading.jsonl.
"""

from __future__ import annotations

import json
import statistics
import time
from datetime import datetime, timezone
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from binarize import environment
from binarize.data import CachedImages
from binarize.data.images import WholeBatches
from binarize.data.transforms import BatchTransform, train_transform
from binarize.models import default_preprocess
from binarize.recipe import Augment

BATCHES = 100
WARM_UP = 10
BATCH = 128
RESULTS = Path(__file__).parent / "results" / "data_loading.jsonl"


def loader(whole: bool, workers: int) -> DataLoader:
    """Batches of noise, transformed whole or image by image."""
    count = (BATCHES + WARM_UP) * BATCH
    pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
    images = CachedImages(pixels, torch.zeros(count, dtype=torch.int64), ["noise"])
    augment, preprocess = Augment(hflip=0.5, crop_padding=4), default_preprocess("cifar_resnet20")
    if not whole:
        images.transform = train_transform(augment, preprocess)
        return DataLoader(images, BATCH, num_workers=workers)
    batches = WholeBatches(images)
    batches.transform = BatchTransform(preprocess, augment)
    return DataLoader(batches, BATCH, num_workers=workers, collate_fn=lambda batch: batch)


def milliseconds(whole: bool, workers: int) -> float:
    """Median time between one batch and the next."""
    times = []
    begin = time.perf_counter()
    for _ in loader(whole, workers):
        times.append(1000 * (time.perf_counter() - begin))
        begin = time.perf_counter()
    return statistics.median(times[WARM_UP:])


def main() -> None:
    measured = {}
    for whole in (True, False):
        for workers in (0, 1, 2):
            name = f"{'whole batch' if whole else 'image by image'}, {workers} workers"
            measured[name] = round(milliseconds(whole, workers), 2)
            print(f"{measured[name]:7.2f} ms  {name}")
    machine = environment.machine()
    result = {
        "question": "milliseconds per batch of 128 augmented 32x32 images, median",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "milliseconds": measured,
        "cpu": machine["cpu"],
        "cores": machine["cores"],
        "versions": environment.versions(),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
