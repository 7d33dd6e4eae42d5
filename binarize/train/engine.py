"""The loop that trains one model: epochs, evaluation, checkpoints, metrics.

It is a function of what is on disk. `Trainer.train` reads the last checkpoint of a directory (or the
initial weights), goes on from there to the end of the plan, and leaves every epoch on disk before it
starts the next; a new training and a resumed one are the same code.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from timm.utils import distribute_bn
from torch import Tensor, nn
from torch.utils.data import DataLoader

from binarize.errors import TrainingError
from binarize.layers import set_progress
from binarize.recipe.schema import Recipe
from binarize.train import checkpoint, metrics
from binarize.train.accuracy import score, sum_over_processes
from binarize.train.metrics import Scores
from binarize.train.objective import Objective
from binarize.train.place import Place
from binarize.train.plan import Epoch, lay_out
from binarize.train.reporter import Reporter
from binarize.train.seeding import EpochSeeds
from binarize.train.stages import RunningStage

REPORTS_PER_SECOND = 4


@dataclass
class Phase:
    """One model to train.

    Attributes:
        name: as shown, "binarized" or "float twin".
        directory: a run; its checkpoints and metrics are written there.
        model: holds the initial weights.
    """

    name: str
    directory: Path
    model: nn.Module


class Trainer:
    """Trains the phases of one run; holds what they share.

    Args:
        train_loader, test_loader: this process's shares, see `device.shard_train` and `shard_test`.
        classes: size of the classifier.
    """

    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        train_loader: DataLoader,
        test_loader: DataLoader,
        classes: int,
        reporter: Reporter,
    ) -> None:
        self.recipe, self.accelerator, self.reporter = recipe, accelerator, reporter
        self.train_loader, self.test_loader = train_loader, test_loader
        self.classes = classes
        self.per_epoch = len(train_loader)
        self.plan = lay_out(recipe.stages, self.per_epoch)
        self.steps = sum(epoch.steps for epoch in self.plan)
        last = recipe.engine.channels_last
        self.layout = torch.channels_last if last else torch.contiguous_format

    def train(self, phase: Phase) -> Place:
        """Train `phase` to the end from where its directory says it is.

        Raises TrainingError where the loss is no longer finite, CheckpointError where the last
        checkpoint cannot be read. Whatever happens, the last checkpoint stays.
        """
        model = phase.model.to(self.accelerator.device, memory_format=self.layout)
        last = phase.directory / "last"
        saved = checkpoint.load(last) if last.exists() else None
        place = Place(per_epoch=self.per_epoch)
        if saved is not None:
            place = Place.of(saved.place)
            place.check(self.per_epoch)
            model.load_state_dict(saved.weights)
        if self.accelerator.is_main_process:
            metrics.keep_rows(phase.directory / "metrics.csv", place.epochs)
        objective = self.accelerator.prepare_model(Objective(model))
        rank = self.accelerator.process_index
        seeds = EpochSeeds(self.recipe.seed, rank, self.train_loader)
        stage = None
        self.reporter.phase(phase.name, len(self.plan), place.epochs)
        for epoch in self.plan[place.epochs :]:
            if stage is None:
                stage = self._open(epoch.stage, model, objective)
                if saved is not None:
                    stage.restore(saved)
                saved = None
            seeds.start(epoch.number)
            self._run_epoch(epoch, stage, phase, place)
            if epoch.last_of_stage:
                stage = None
        return place

    def _open(self, index: int, model: nn.Module, objective: nn.Module) -> RunningStage:
        return RunningStage(
            self.recipe, index, model, objective, self.accelerator, self.per_epoch, self.classes
        )

    def _run_epoch(self, epoch: Epoch, stage: RunningStage, phase: Phase, place: Place) -> None:
        """One epoch, its evaluation, and their traces on disk. `place` is brought up to date."""
        began = time.monotonic()
        self.reporter.epoch(epoch.number, epoch.steps)
        total = self._steps(epoch, stage)
        trained = time.monotonic() - began
        lr, mixed = stage.lr, stage.mix is not None
        if epoch.last_of_stage:
            stage.close()
        scores = self._evaluate(stage)
        place.epochs, place.top1, place.top5 = epoch.number, scores.top1, scores.top5
        place.seconds += time.monotonic() - began
        better = scores.top1 > place.best_top1
        if better:
            place.best_top1, place.best_epoch = scores.top1, epoch.number
        images, loss, right = total
        row = {
            **self._columns(epoch, lr, scores),
            "train_loss": round(loss / images, 5),
            "train_top1": "" if mixed else round(100 * right / images, 3),
            "seconds": round(time.monotonic() - began, 2),
            "images_per_s": round(images / trained, 1),
        }
        if self.accelerator.is_main_process:
            self._write(epoch, stage, phase, place, row, better)
        self.reporter.epoch_done(row)

    def _steps(self, epoch: Epoch, stage: RunningStage) -> list[float]:
        """All optimiser steps of an epoch. Returns images, summed loss and right answers of all processes."""
        stage.model.train()
        total = torch.zeros(3, dtype=torch.float64)
        recent: list[Tensor] = []
        reported = time.monotonic()
        span = max(self.steps - 1, 1)
        for step, (images, labels) in zip(range(epoch.steps), self.train_loader, strict=False):
            set_progress(stage.model, (epoch.before + step) / span)
            images = images.contiguous(memory_format=self.layout)
            recent.append(stage.step(epoch.start + step, images, labels))
            if time.monotonic() - reported > 1 / REPORTS_PER_SECOND or step + 1 == epoch.steps:
                total += torch.stack(recent).double().sum(0).cpu()
                recent.clear()
                if self.accelerator.num_processes == 1:
                    self._check_finite(total, epoch)
                self.reporter.step(step + 1, float(total[1] / total[0]))
                reported = time.monotonic()
        self.train_loader.end()
        summed = sum_over_processes(total, self.accelerator)
        self._check_finite(summed, epoch)  # the same sum everywhere: all processes stop, or none
        return summed

    def _check_finite(self, total: Tensor | list[float], epoch: Epoch) -> None:
        if not math.isfinite(total[1]):
            raise TrainingError(
                f"the loss is no longer a number in epoch {epoch.number}",
                "lower the learning rate, or set clip_grad in the stage; the checkpoint of the last "
                "finished epoch is kept",
            )

    def _evaluate(self, stage: RunningStage) -> Scores:
        if self.accelerator.num_processes > 1:
            distribute_bn(stage.evaluated, self.accelerator.num_processes, reduce=True)
        return score(stage.evaluated, self.test_loader, self.accelerator, self.layout)

    def _columns(self, epoch: Epoch, lr: float, scores: Scores) -> dict[str, Any]:
        stage = self.recipe.stages[epoch.stage]
        done = epoch.before + epoch.steps
        return {
            "epoch": epoch.number,
            "stage": stage.name or epoch.stage + 1,
            "step": done,
            "progress": round((done - 1) / max(self.steps - 1, 1), 5),
            "lr": lr,
            "test_loss": round(scores.loss, 5),
            "test_top1": round(scores.top1, 3),
            "test_top5": round(scores.top5, 3),
        }

    def _write(
        self,
        epoch: Epoch,
        stage: RunningStage,
        phase: Phase,
        place: Place,
        row: dict[str, Any],
        better: bool,
    ) -> None:
        """Metrics, best, last: in this order, so that what `last` says is done is on disk."""
        metrics.add_row(phase.directory / "metrics.csv", row)
        if better:
            checkpoint.save_weights(
                phase.directory / "best" / checkpoint.WEIGHTS,
                stage.evaluated.state_dict(),
                epoch=epoch.number,
                top1=place.best_top1,
            )
        saved = stage.checkpoint(asdict(place))
        if epoch.last_of_stage:
            saved.optimizer = None
        checkpoint.save(phase.directory / "last", saved)
