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
from binarize.layers import set_progress, switch
from binarize.recipe.schema import Recipe
from binarize.train import checkpoint, metrics
from binarize.train.accuracy import score, sum_over_processes
from binarize.train.calibration import Watch, begins, calibrate_inputs
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
        calibrated: its binary inputs keep their thresholds and shifts: training has found them already.
    """

    name: str
    directory: Path
    model: nn.Module
    calibrated: bool = False


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
        binary = [epoch for epoch in self.plan if recipe.stages[epoch.stage].binary_weights]
        self.binary_steps = sum(epoch.steps for epoch in binary)
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
        self._watch = Watch(metrics.read_rows(phase.directory / "metrics.csv"), self.reporter)
        objective = self.accelerator.prepare_model(Objective(model))
        rank = self.accelerator.process_index
        seeds = EpochSeeds(self.recipe.seed, rank, self.train_loader)
        stage: RunningStage | None = None
        self.reporter.phase(phase.name, len(self.plan), place.epochs)
        for epoch in self.plan[place.epochs :]:
            if stage is None:
                stage = self._open(epoch, phase, objective, seeds)
                if saved is not None:
                    stage.restore(saved)
                saved = None
            seeds.start(epoch.number)
            self._run_epoch(epoch, stage, phase, place)
            if epoch.last_of_stage:
                stage = None
        return place

    def _open(
        self, epoch: Epoch, phase: Phase, objective: nn.Module, seeds: EpochSeeds
    ) -> RunningStage:
        """The stage of `epoch`. Binary inputs are calibrated before what it copies of them."""
        model, stage = phase.model, self.recipe.stages[epoch.stage]
        switch(model, weights=stage.binary_weights, inputs=stage.binary_inputs)
        if not phase.calibrated and begins(epoch, self.recipe.stages, model):
            seeds.start(epoch.number)  # the images that the first steps are going to see
            done = calibrate_inputs(model, self.train_loader, self.accelerator, self.layout)
            self.reporter.say(f"binary inputs calibrated on {done.images} training images")
        return RunningStage(
            self.recipe,
            epoch.stage,
            model,
            objective,
            self.accelerator,
            self.per_epoch,
            self.classes,
        )

    def _run_epoch(self, epoch: Epoch, stage: RunningStage, phase: Phase, place: Place) -> None:
        """One epoch, its evaluation, and their traces on disk. `place` is brought up to date."""
        began = time.monotonic()
        self.reporter.epoch(epoch.number, epoch.steps)
        images, loss, right = self._steps(epoch, stage)
        trained, lr = time.monotonic() - began, stage.lr
        if epoch.last_of_stage:
            stage.close()
        scores = self._evaluate(stage, epoch)
        seconds = time.monotonic() - began
        better = place.add(epoch.number, scores, seconds, stage.is_whole)
        self._watch.see(scores.saturated)
        row = {
            "epoch": epoch.number,
            "stage": self.recipe.stages[epoch.stage].name or epoch.stage + 1,
            "step": epoch.before + epoch.steps,
            "progress": round(self._progress(epoch, epoch.steps - 1), 5),
            "lr": lr,
            "train_loss": round(loss / images, 5),
            "train_top1": "" if stage.mix else round(100 * right / images, 3),
            "test_loss": round(scores.loss, 5),
            "test_top1": round(scores.top1, 3),
            "test_top5": round(scores.top5, 3),
            "saturated": "" if scores.saturated is None else len(scores.saturated),
            "seconds": round(seconds, 2),
            "images_per_s": round(images / trained, 1),
        }
        if self.accelerator.is_main_process:
            self._write(phase.directory, stage, place, row, better)
        self.reporter.epoch_done(row)

    def _steps(self, epoch: Epoch, stage: RunningStage) -> list[float]:
        """All optimiser steps of an epoch. Returns images, summed loss and right answers of all processes."""
        stage.model.train()
        total = torch.zeros(3, dtype=torch.float64)
        recent: list[Tensor] = []
        reported = time.monotonic()
        for step, (images, labels) in zip(range(epoch.steps), self.train_loader, strict=False):
            set_progress(stage.model, self._progress(epoch, step))
            images = images.contiguous(memory_format=self.layout)
            recent.append(stage.step(epoch.start + step, images, labels))
            if time.monotonic() - reported > 1 / REPORTS_PER_SECOND or step + 1 == epoch.steps:
                total += torch.stack(recent).double().sum(0).cpu()
                recent.clear()
                if self.accelerator.num_processes == 1:
                    check_finite(float(total[1]), epoch)
                self.reporter.step(step + 1, float(total[1] / total[0]))
                reported = time.monotonic()
        self.train_loader.end()
        summed = sum_over_processes(total, self.accelerator)
        check_finite(summed[1], epoch)  # the same sum everywhere: all processes stop, or none
        return summed

    def _progress(self, epoch: Epoch, step: int) -> float:
        """Share of the training with binary weights that is done at a step of `epoch`: 0 at the first of
        those steps, 1 at the last."""
        binary = self.recipe.stages[epoch.stage].binary_weights
        done = epoch.binary_before + (step if binary else 0)
        return min(done / max(self.binary_steps - 1, 1), 1.0)

    def _evaluate(self, stage: RunningStage, epoch: Epoch) -> Scores:
        if self.accelerator.num_processes > 1:
            distribute_bn(stage.evaluated, self.accelerator.num_processes, reduce=True)
        scores = score(stage.evaluated, self.test_loader, self.accelerator, self.layout)
        check_finite(scores.loss, epoch)
        return scores

    def _write(
        self, directory: Path, stage: RunningStage, place: Place, row: dict[str, Any], better: bool
    ) -> None:
        """Metrics, best, last: in this order, so that what `last` says is done is on disk."""
        metrics.add_row(directory / "metrics.csv", row)
        if better:
            best = {"epoch": place.best_epoch, "top1": place.best_top1}
            weights = stage.evaluated.state_dict()
            checkpoint.save_weights(directory / "best" / checkpoint.WEIGHTS, weights, **best)
        checkpoint.save(directory / "last", stage.checkpoint(asdict(place)))


def check_finite(loss: float, epoch: Epoch) -> None:
    """Raises TrainingError where the loss is infinite or no number."""
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss is no longer a number in epoch {epoch.number}",
            "lower the learning rate, or set clip_grad in the stage; the checkpoint of the last "
            "finished epoch is kept",
        )
