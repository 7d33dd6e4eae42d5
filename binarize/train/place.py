"""How far the training of a model is: the JSON object that a checkpoint carries."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from binarize.errors import CheckpointError, TrainingError
from binarize.train.metrics import Scores


@dataclass
class Place:
    """How far, and how good.

    Attributes:
        epochs: done.
        per_epoch: optimiser steps of one pass over the data.
        top1, top5: of the last epoch, in per cent.
        best_top1, best_epoch: of the best one.
        seconds: spent in epochs that were finished.
    """

    epochs: int = 0
    per_epoch: int = 0
    top1: float = 0.0
    top5: float = 0.0
    best_top1: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Place:
        """The place in a checkpoint's JSON object, which may hold more. Raises CheckpointError."""
        try:
            return cls(**{field.name: stored[field.name] for field in fields(cls)})
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                "the checkpoint was made by another version of binarize",
                "resume with that version, or start a new training",
            ) from error

    def add(self, epoch: int, scores: Scores, seconds: float, whole: bool = True) -> bool:
        """One more epoch is done. Returns whether it is the best so far.

        Only what was scored as a whole can be: part of a binary network is another one.
        """
        self.epochs, self.top1, self.top5 = epoch, scores.top1, scores.top5
        self.seconds += seconds
        better = whole and scores.top1 > self.best_top1
        if better:
            self.best_top1, self.best_epoch = scores.top1, epoch
        return better

    def check(self, per_epoch: int) -> None:
        """Raises TrainingError where the checkpoint was made with another number of images."""
        if self.per_epoch != per_epoch:
            raise TrainingError(
                f"the data has changed: an epoch was {self.per_epoch} steps and is {per_epoch} now",
                "resume with the images that the training began with",
            )
