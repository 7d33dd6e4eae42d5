"""What is trained, and by what: a phase is one model of a run, the setup is what its phases share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from binarize.data import Loader
from binarize.progress import Progress
from binarize.recipe.schema import Distill, Recipe
from binarize.training.device import TrainingLoader
from binarize.training.plan import Epoch, build_schedule


@dataclass
class Phase:
    """One model to train.

    Attributes:
        name: as shown, "binarized" or "float baseline".
        directory: a run; its checkpoints and metrics are written there.
        model: holds the initial weights.
        calibrated: its binary inputs keep their thresholds and shifts: training has found them already.
        own: the layers whose estimator is their own, whatever the stage says.
        teacher: makes what a stage is distilled from; None: nothing is.
    """

    name: str
    directory: Path
    model: nn.Module
    calibrated: bool = False
    own: set[str] = field(default_factory=set)
    teacher: Callable[[Distill], nn.Module | None] = lambda _: None


@dataclass
class Loaders:
    """This process's shares of the images, see `device.shard_train` and `shard_test`.

    Attributes:
        test: test images, or None: then there are some held out.
        held_out: images to choose by: of val/, or training images that are set aside, or None.
    """

    train: TrainingLoader
    test: Loader | None
    held_out: Loader | None = None

    @property
    def selection(self) -> Loader:
        """The images that choices are made on: the best epoch, the end of a stage."""
        chosen = self.held_out or self.test
        assert chosen is not None
        return chosen


class Setup:
    """What the phases of a run share.

    Attributes:
        classes: size of the classifier.
        per_epoch: optimiser steps of one pass over the data.
        plan: all epochs of a phase.
        layout: of images and weights in memory.
        stages_begun: so far, in all phases.
    """

    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        loaders: Loaders,
        classes: int,
        progress: Progress,
    ) -> None:
        self.recipe, self.accelerator, self.progress = recipe, accelerator, progress
        self.loaders, self.classes = loaders, classes
        self.per_epoch, self.stages_begun = len(loaders.train), 0
        self.plan: list[Epoch] = build_schedule(recipe.stages, self.per_epoch)
        last = recipe.engine.channels_last
        self.layout = torch.channels_last if last else torch.contiguous_format

    def end_of(self, stage: int) -> int:
        """The number of the last epoch that the plan has for a stage."""
        return max(epoch.number for epoch in self.plan if epoch.stage == stage)
