"""The optimiser steps of one epoch."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from binarize.training.accuracy import sum_over_processes
from binarize.training.diagnosis import check_finite
from binarize.training.estimator_progress import EstimatorProgress
from binarize.training.indicators import Indicators
from binarize.training.phase import Setup
from binarize.training.plan import Epoch
from binarize.training.stages import RunningStage

REPORTS_PER_SECOND = 4


@dataclass(frozen=True)
class Trained:
    """What the steps of an epoch gave.

    Attributes:
        loss: mean over the images of all processes.
        top1: in per cent, on the images as they were augmented.
        progress: of the estimators in the last step.
        lr: of the last step.
        images_per_s: of all processes.
    """

    loss: float
    top1: float
    progress: float
    lr: float
    images_per_s: float


def run_steps(
    setup: Setup,
    stage: RunningStage,
    epoch: Epoch,
    estimators: EstimatorProgress,
    indicators: Indicators,
) -> Trained:
    """Train for one epoch. `indicators` read the gradients of its last step.

    Raises TrainingError where the loss is no longer finite.
    """
    began = reported = time.monotonic()
    stage.model.train()
    total = torch.zeros(3, dtype=torch.float64)
    recent: list[Tensor] = []
    progress = 0.0
    read_gradients = functools.partial(indicators.read_gradients, stage.model)
    for step, (images, labels) in zip(range(epoch.steps), setup.loaders.train, strict=False):
        progress = estimators.update(stage.model, epoch, step)
        images = images.contiguous(memory_format=setup.layout)
        last = step + 1 == epoch.steps
        look = read_gradients if last else None
        recent.append(stage.step(epoch.start + step, images, labels, look))
        if time.monotonic() - reported > 1 / REPORTS_PER_SECOND or last:
            total += torch.stack(recent).double().sum(0).cpu()
            recent.clear()
            if setup.accelerator.num_processes == 1:
                check_finite(float(total[1]), epoch, stage.model, images)
            note = f"epoch {epoch.number}/{len(setup.plan)}, loss {float(total[1] / total[0]):.3f}"
            setup.progress.update(epoch.before + step + 1, note)
            reported = time.monotonic()
    setup.loaders.train.end()
    count, loss, right = sum_over_processes(total, setup.accelerator)
    # The same sum everywhere: all processes stop, or none.
    check_finite(loss, epoch, stage.model, images)
    seconds = time.monotonic() - began
    return Trained(loss / count, 100 * right / count, progress, stage.lr, count / seconds)
