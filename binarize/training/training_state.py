"""How far the training of a model is: the JSON object that a checkpoint carries."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from binarize.errors import CheckpointError, TrainingError
from binarize.recipe.schema import EarlyStop
from binarize.run.record import InvalidRecord, checked
from binarize.training.accuracy import Scores

Count = Annotated[int, Field(ge=0, lt=1 << 31)]
Number = Annotated[float, Field(allow_inf_nan=False)]


@dataclass
class TrainingState:
    """How far, and how good.

    Attributes:
        epochs: of the plan that are over: those that were trained, and those left out by an early stop.
        trained: epochs that were trained. A checkpoint of 0.1.0 does not tell; then all that are over.
        per_epoch: optimiser steps of one pass over the data.
        top1, top5: of the last epoch, in per cent: on the test images as soon as they are scored.
        best_top1, best_epoch: of the best one, on the held-out images where there are any.
        stage_top1, stage_epoch: of the best one of its stage: what ends a stage early.
        seconds: spent in epochs that were finished.
    """

    epochs: Count = 0
    trained: Count = 0
    per_epoch: Count = 0
    top1: Number = 0.0
    top5: Number = 0.0
    best_top1: Number = -1.0
    best_epoch: Count = 0
    stage_top1: Number = -1.0
    stage_epoch: Count = 0
    seconds: Number = 0.0

    @classmethod
    def of(cls, stored: dict[str, Any], last: Path) -> TrainingState:
        """The state in the JSON of the checkpoint `last`, which may hold more. Raises CheckpointError."""
        try:
            stored = {"trained": stored["epochs"], **stored}
            return checked(cls, {field.name: stored[field.name] for field in fields(cls)})
        except (KeyError, TypeError, InvalidRecord) as error:
            raise CheckpointError(
                f'"{last}" is damaged, or was made by another version of binarize',
                "resume with that version, or start a new training",
            ) from error

    def update_best(self, epoch: int, scores: Scores, whole: bool) -> bool:
        """What an epoch reached. Returns whether it is the best so far.

        Only what was scored as a whole can be: part of a binary network is another one.
        """
        self.top1, self.top5 = scores.top1, scores.top5
        better = whole and scores.top1 > self.best_top1
        if better:
            self.best_top1, self.best_epoch = scores.top1, epoch
        return better

    def stops(self, epoch: int, top1: float, rule: EarlyStop | None) -> bool:
        """Whether the stage is to end with `epoch`, which reached `top1`."""
        least = rule.min_delta if rule else 0.0
        if self.stage_epoch == 0 or top1 > self.stage_top1 + least:
            self.stage_top1, self.stage_epoch = top1, epoch
        return rule is not None and epoch - self.stage_epoch >= rule.patience

    def end_stage(self) -> None:
        """The next stage has a best epoch of its own."""
        self.stage_top1, self.stage_epoch = -1.0, 0

    def check(self, per_epoch: int) -> None:
        """Raises TrainingError where the checkpoint was made with another number of images."""
        if self.per_epoch != per_epoch:
            raise TrainingError(
                f"the data has changed: an epoch was {self.per_epoch} steps and is {per_epoch} now",
                "resume with the images that the training began with",
            )
