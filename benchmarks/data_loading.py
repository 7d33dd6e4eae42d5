"""How many CIFAR-sized images per second are cut, flipped and normalised: one by one, whole, on the device?

    python benchmarks/data_loading.py

Noise of 32x32 pixels in memory, pad-4 crop and flip, batches of 128 in the memory order that training takes
them in, on the training device. Three ways: PIL images one by one (`data.cache: false`, without the
decoding), whole batches in main memory (`true`, also with a loading process), whole batches where they are
needed (`device`). Each way has its rounds between those of the others, so that a machine that is busy with
other work slows all of them alike; the best round counts. One JSON line is added to
benchmarks/results/data_loading.jsonl.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import torch
from result_lines import append
from torch.utils.data import DataLoader

from binarize.data import CachedImages, ResidentLoader
from binarize.data.changes import BatchChanges
from binarize.data.resident import ResidentImages
from binarize.data.shuffle import Shuffle
from binarize.data.training import OneByOne, WholeBatches
from binarize.models import default_preprocess
from binarize.recipe import Augment

BATCH, BATCHES = 128, 40
ROUNDS = 5
AUGMENT = Augment(hflip=0.5, crop_padding=4)
PREPROCESS = default_preprocess("cifar_resnet20")


def noise() -> CachedImages:
    count = BATCHES * BATCH
    pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
    return CachedImages(pixels, torch.zeros(count, dtype=torch.int64), ["noise"])


def in_main_memory(kind: type[OneByOne | WholeBatches], workers: int = 0) -> DataLoader[Any]:
    images = kind(noise(), AUGMENT, PREPROCESS)
    shuffle = Shuffle(len(images))
    return DataLoader(
        images, BATCH, sampler=shuffle, num_workers=workers, collate_fn=lambda batch: batch
    )


def on_device(device: torch.device) -> ResidentLoader:
    images = ResidentImages(noise(), AUGMENT.crop_padding)
    loader = ResidentLoader(images, BatchChanges(PREPROCESS, AUGMENT), BATCH, training=True)
    return loader.on(device)


def ways(device: torch.device) -> dict[str, Iterable[Any]]:
    return {
        "device": on_device(device),
        "true": in_main_memory(WholeBatches),
        "true, 1 worker": in_main_memory(WholeBatches, workers=1),
        "false": in_main_memory(OneByOne),
    }


def images_per_second(loader: Iterable[Any], device: torch.device) -> float:
    """Of one pass. The first batch is not timed: it waits for loading processes to start."""
    count, begin = 0, 0.0
    for images, labels in loader:
        images.to(device, memory_format=torch.channels_last)
        labels.to(device)
        count += BATCH if begin else 0
        if not begin:
            begin = _now(device)
    return count / (_now(device) - begin)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def measure(device: torch.device, threads: int) -> dict[str, int]:
    torch.set_num_threads(threads)
    best: dict[str, float] = {}
    loaders = ways(device)
    for _ in range(ROUNDS):
        for name, loader in loaders.items():
            best[name] = max(best.get(name, 0.0), images_per_second(loader, device))
    return {name: round(value) for name, value in best.items()}


def main() -> None:
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    measured = {}
    for threads in (1, 2):
        measured[str(threads)] = measure(device, threads)
        for name, value in measured[str(threads)].items():
            print(f"{value:>10,} images/s  {threads} threads  data.cache: {name}")
    result = {
        "question": "augmented 32x32 images per second by number of threads and data.cache, best round",
        "device": str(device),
        "images_per_s": measured,
    }
    append("data_loading", result)


if __name__ == "__main__":
    main()
