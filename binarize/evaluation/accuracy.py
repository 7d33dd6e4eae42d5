"""Accuracy and speed of one predictor over a test set."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

Predict = Callable[[Tensor], Tensor]
"""Images float32[N, 3, H, W] -> logits or probabilities float32[N, classes], both on the CPU."""


WARM_UPS, TIMED = 3, 15


@dataclass(frozen=True)
class Answers:
    """What a predictor answered, image by image.

    Attributes:
        logits: float32[images, classes].
        labels: int64[images].
        images_per_s: images per second of prediction alone, without loading and decoding. The first
            batch, which warms up caches and allocators, is left out where there is a second one.
        ms_per_image: median milliseconds of a prediction for one image alone.
    """

    logits: Tensor
    labels: Tensor
    images_per_s: float
    ms_per_image: float


def ask(
    predict: Predict,
    batches: Iterable[tuple[Tensor, Tensor]],
    after_batch: Callable[[int], None] = lambda images: None,
) -> Answers:
    """Run `predict` over all batches; `after_batch` is told each batch's number of images."""
    logits, labels, seconds = [], [], []
    for images, wanted in batches:
        begin = time.perf_counter()
        logits.append(predict(images))
        seconds.append(time.perf_counter() - begin)
        labels.append(wanted)
        after_batch(len(images))
    timed = slice(1, None) if len(seconds) > 1 else slice(None)
    return Answers(
        torch.cat(logits),
        torch.cat(labels),
        sum(map(len, labels[timed])) / max(sum(seconds[timed]), 1e-9),
        1000 * _latency(predict, images[:1]),
    )


def _latency(predict: Predict, image: Tensor) -> float:
    """Median seconds of one prediction, over `TIMED` of them that follow `WARM_UPS`."""
    seconds = []
    for _ in range(WARM_UPS + TIMED):
        begin = time.perf_counter()
        predict(image)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[WARM_UPS:])


def top_k(logits: Tensor, labels: Tensor, k: int) -> float:
    """Percentage of images whose label is among the k largest logits.

    Of equal logits the lower class comes first. A logit that is not a number is never right.
    """
    own = logits.gather(1, labels[:, None])
    earlier = torch.arange(logits.shape[1]) < labels[:, None]
    ahead = ~(logits <= own) | ((logits == own) & earlier)
    return 100.0 * (ahead.sum(1) < k).double().mean().item()
