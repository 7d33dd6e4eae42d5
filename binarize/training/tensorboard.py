"""What metrics.csv and indicators.csv hold, for TensorBoard as well: RUN/tensorboard, one point an epoch.

train_loss, val_top1, test_top5 …      -> train/loss, val/top1, test/top5       by the optimiser step
estimating_error, flip_ratio …         -> indicators/estimating_error …
all other numbers of the row           -> run/lr, run/progress, run/seconds …
layer1.0.conv1's flip_ratio            -> flip_ratio/layer1.0.conv1

tensorboard --logdir RUN/tensorboard
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from binarize.errors import TrainingError
from binarize.run import layout
from binarize.run.tables import LAYER, OF_WEIGHTS, STEP, TEST, TRAIN, VAL

SCORED = (TRAIN, VAL, TEST)


class TensorBoard:
    """Writes RUN/tensorboard. A resumed training adds a file that takes the place of what was written
    after the step it resumes from, so that no step is there twice.

    Args:
        run: the run's directory.
        step: optimiser steps done so far.

    Raises TrainingError where the package "tensorboard" is not installed.
    """

    def __init__(self, run: Path, step: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise TrainingError(
                "engine.tensorboard is true, but the package tensorboard is not installed",
                'pip install "binarize[tensorboard]"',
            ) from error
        self._writer = SummaryWriter(str(run / layout.TENSORBOARD), purge_step=step + 1)

    def add(self, row: Mapping[str, Any], layers: Iterable[Mapping[str, Any]] = ()) -> None:
        """One epoch: its row of metrics.csv, which says its step, and its rows of indicators.csv."""
        for tag, value in points(row, layers):
            self._writer.add_scalar(tag, value, row[STEP])
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def points(
    row: Mapping[str, Any], layers: Iterable[Mapping[str, Any]] = ()
) -> Iterator[tuple[str, float]]:
    """(tag, value) of all that is a number; names and empty fields are left out."""
    named = [(_tag(column), value) for column, value in row.items() if column != STEP]
    for layer in layers:
        named += [(f"{key}/{layer[LAYER]}", value) for key, value in layer.items()]
    return ((tag, float(value)) for tag, value in named if isinstance(value, (int, float)))


def _tag(column: str) -> str:
    part, _, score = column.partition("_")
    if part in SCORED and score:
        return f"{part}/{score}"
    return f"{'indicators' if column in OF_WEIGHTS else 'run'}/{column}"
