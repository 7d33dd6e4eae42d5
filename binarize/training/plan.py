"""The stages of a recipe laid out as epochs: what is trained when, known before the first step.

A stage of E epochs is E passes over the data; a stage of S steps is passes of which the last may be cut
short. Checkpoints fall on the ends of epochs, so "how far is it" is one number: the epochs done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from binarize.errors import TrainingError
from binarize.recipe.schema import Stage


@dataclass(frozen=True)
class Epoch:
    """One pass over the training data, or the part of it that a stage of `steps` has left.

    Attributes:
        number: from 1, over all stages.
        stage: index of its stage.
        start: optimiser steps of the stage that come before it.
        before: optimiser steps of the whole training that come before it.
        steps: its own optimiser steps.
        last_of_stage: True where the next epoch belongs to another stage, or there is none.
    """

    number: int
    stage: int
    start: int
    before: int
    steps: int
    last_of_stage: bool


MOST_EPOCHS = 100_000


def stage_steps(stage: Stage, per_epoch: int) -> int:
    """Optimiser steps of a stage, `per_epoch` being those of one pass over the data."""
    return stage.steps if stage.steps is not None else (stage.epochs or 0) * per_epoch


def build_schedule(stages: Sequence[Stage], per_epoch: int) -> list[Epoch]:
    """All epochs, in order. Raises TrainingError where one pass over the data makes no step."""
    if per_epoch < 1:
        raise TrainingError(
            "there are fewer training images than one batch takes",
            "make the batch smaller: --set data.batch_size=32",
        )
    wanted = sum(-(-stage_steps(stage, per_epoch) // per_epoch) for stage in stages)
    if wanted > MOST_EPOCHS:
        raise TrainingError(
            f"the stages last more than {MOST_EPOCHS:,} epochs",
            "make them shorter: --set stages.0.epochs=100",
        )
    epochs: list[Epoch] = []
    before = 0
    for index, stage in enumerate(stages):
        total = stage_steps(stage, per_epoch)
        for start in range(0, total, per_epoch):
            steps = min(per_epoch, total - start)
            last = start + steps == total
            epochs.append(Epoch(len(epochs) + 1, index, start, before, steps, last))
            before += steps
    return epochs
