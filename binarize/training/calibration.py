"""Binary inputs in training: calibrated once, when they are switched on, and watched for sign imbalance."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from binarize.layers import IMBALANCED, Calibration, binary_inputs, calibrate, imbalance
from binarize.progress import Progress
from binarize.recipe.schema import Stage
from binarize.run.tables import SATURATED, number
from binarize.training.device import TrainingLoader
from binarize.training.plan import Epoch

BATCHES = 4
"""Of training images; thresholds and shifts are learned from there on."""
SHOWN = 5
"""Names in a warning."""


def begins(epoch: Epoch, stages: list[Stage], model: nn.Module) -> bool:
    """Whether binary inputs are switched on for the first time at the first step of `epoch`."""
    first = next(index for index, stage in enumerate(stages) if stage.binary_inputs)
    at_start = epoch.stage == first and epoch.start == 0
    return at_start and any(True for _ in binary_inputs(model))


def calibrate_inputs(
    model: nn.Module, loader: TrainingLoader, accelerator: Accelerator, layout: torch.memory_format
) -> Calibration:
    """Calibrate on the first batches of `loader`, in training mode: norms use the batch's statistics.

    All processes take the values of the first one, which saw its share of the images.
    """
    result = calibrate(model.train(), _images(loader, accelerator.device, layout))
    loader.end()
    for _, binarizer in binary_inputs(model):
        for value in binarizer.state_dict().values():
            broadcast(value)
    return result


def input_shares(model: nn.Module, images: Tensor) -> dict[str, float] | None:
    """Layer name -> share of the commoner value of its binary input; None where no input is binary."""
    names = [name for name, binarizer in binary_inputs(model) if binarizer.enabled]
    if not names:
        return None
    shares = imbalance(model, images)
    return {name: shares[name] for name in names if name in shares}


class Watch:
    """Warns once when more layers are imbalanced than after the epoch before.

    Args:
        rows: of metrics.csv so far; a resumed training has said it already.
    """

    def __init__(self, rows: list[dict[str, str]], progress: Progress) -> None:
        counts = [int(count) for row in rows if (count := number(row, SATURATED)) is not None]
        self._before, self._progress = (counts or [0])[-1], progress
        self._said = any(after > before for before, after in itertools.pairwise([0, *counts]))

    def update(self, layers: list[str] | None) -> None:
        """After an epoch: the layers that are imbalanced now."""
        count = len(layers or ())
        if layers and count > self._before and not self._said:
            self._progress.warn(
                f"more than {IMBALANCED:.0%} of one value come into {_listed(layers)}",
                'they learn little; --set "binarize.keep=[NAME]" keeps a layer float',
            )
            self._said = True
        self._before = count


def _listed(layers: list[str]) -> str:
    more = f" and {len(layers) - SHOWN} more layers" if len(layers) > SHOWN else ""
    return ", ".join(layers[:SHOWN]) + more


def _images(
    loader: TrainingLoader, device: torch.device, layout: torch.memory_format
) -> Iterator[Tensor]:
    for _, (images, _) in zip(range(BATCHES), loader, strict=False):
        yield images.to(device, memory_format=layout, non_blocking=True)
