"""The loop that trains one model: epochs, evaluation, checkpoints, metrics.

It is a function of what is on disk. `Trainer.train` reads the last checkpoint of a directory (or the
initial weights), goes on from there to the end of the plan, and leaves every epoch on disk before it
starts the next; a new training and a resumed one are the same code.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from timm.utils import distribute_bn
from torch import Tensor, nn

from binarize.data import Loader
from binarize.errors import TrainingError
from binarize.layers import switch
from binarize.recipe.schema import Distill, Recipe
from binarize.run import layout
from binarize.run.weights import save_weights
from binarize.train import checkpoint
from binarize.train.accuracy import score, sum_over_processes
from binarize.train.calibration import Watch, begins, calibrate_inputs
from binarize.train.diagnosis import first_bad_layer
from binarize.train.indicators import Indicators
from binarize.train.metrics import Scores
from binarize.train.norms import reestimate, synchronised
from binarize.train.objective import Objective
from binarize.train.place import Place
from binarize.train.plan import Epoch, lay_out
from binarize.train.progress import Progress, use_estimator
from binarize.train.records import Records
from binarize.train.reporter import Reporter
from binarize.train.seeding import EpochSeeds
from binarize.train.stages import RunningStage

REPORTS_PER_SECOND = 4


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
        held_out: training images that are set aside, or None.
    """

    train: Loader
    test: Loader
    held_out: Loader | None = None

    @property
    def judging(self) -> Loader:
        """The images that choices are made on: the best epoch, the end of a stage."""
        return self.held_out or self.test


class Trainer:
    """Trains the phases of one run; holds what they share.

    Args:
        classes: size of the classifier.
    """

    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        loaders: Loaders,
        classes: int,
        reporter: Reporter,
    ) -> None:
        self.recipe, self.accelerator, self.reporter = recipe, accelerator, reporter
        self.loaders, self.classes = loaders, classes
        self.per_epoch = len(loaders.train)
        self.plan = lay_out(recipe.stages, self.per_epoch)
        last = recipe.engine.channels_last
        self.layout = torch.channels_last if last else torch.contiguous_format

    def train(self, phase: Phase) -> Place:
        """Train `phase` to the end from where its directory says it is.

        Raises TrainingError where the loss is no longer finite, CheckpointError where the last
        checkpoint cannot be read. Whatever happens, the last checkpoint stays.
        """
        phase.model = synchronised(phase.model, self.recipe.engine, self.accelerator)
        model = phase.model.to(self.accelerator.device, memory_format=self.layout)
        place, saved = self._where(phase)
        self._records = Records(phase.directory, self.recipe, self.accelerator, place, self.plan)
        self._watch = Watch(self._records.rows, self.reporter)
        self._progress = Progress(self.recipe, self.per_epoch, phase.own)
        self._indicators: Indicators | None = None
        objective = self.accelerator.prepare_model(Objective(model))
        rank = self.accelerator.process_index
        seeds = EpochSeeds(self.recipe.seed, rank, self.loaders.train)
        stage: RunningStage | None = None
        self.reporter.phase(phase.name, len(self.plan), place.epochs)
        for epoch in self.plan:
            if epoch.number <= place.epochs:
                continue
            if stage is None:
                stage = self._open(epoch, phase, objective, seeds)
                if saved is not None:
                    stage.restore(saved)
                saved = None
                self._indicators = self._indicators or Indicators(model)
            seeds.start(epoch.number)
            if self._run_epoch(epoch, stage, place):
                stage = None
        self._records.close()
        return place

    def _where(self, phase: Phase) -> tuple[Place, checkpoint.Checkpoint | None]:
        """How far the phase is, its model holding the weights that it had there."""
        last = phase.directory / layout.LAST
        if not last.exists():
            return Place(per_epoch=self.per_epoch), None
        saved = checkpoint.load(last)
        place = Place.of(saved.place)
        place.check(self.per_epoch)
        stage = self.recipe.stages[self.plan[place.epochs - 1].stage]
        use_estimator(phase.model, self.recipe, stage, phase.own)
        phase.model.load_state_dict(saved.weights)
        return place, saved

    def _open(
        self, epoch: Epoch, phase: Phase, objective: nn.Module, seeds: EpochSeeds
    ) -> RunningStage:
        """The stage of `epoch`. Binary inputs are calibrated before what it copies of them."""
        model, stage = phase.model, self.recipe.stages[epoch.stage]
        use_estimator(model, self.recipe, stage, phase.own)
        switch(model, weights=stage.binary_weights, inputs=stage.binary_inputs)
        if not phase.calibrated and begins(epoch, self.recipe.stages, model):
            seeds.start(epoch.number)  # the images that the first steps are going to see
            done = calibrate_inputs(model, self.loaders.train, self.accelerator, self.layout)
            self.reporter.say(f"binary inputs calibrated on {done.images} training images")
        teacher = phase.teacher(stage.distill) if stage.distill else None
        if teacher is not None:
            teacher = teacher.to(self.accelerator.device, memory_format=self.layout)
        return RunningStage(
            self.recipe,
            epoch.stage,
            model,
            objective,
            self.accelerator,
            self.per_epoch,
            self.classes,
            teacher,
        )

    def _run_epoch(self, epoch: Epoch, stage: RunningStage, place: Place) -> bool:
        """One epoch, its evaluation, and their traces on disk. `place` is brought up to date.

        Returns whether the stage is over, because the plan says so or because it no longer gets better.
        """
        began = time.monotonic()
        self.reporter.epoch(epoch.number, epoch.steps)
        images, loss, right = self._steps(epoch, stage)
        trained, lr = time.monotonic() - began, stage.lr
        ended = epoch.last_of_stage
        scores = self._end_stage(stage, epoch) if ended else self._judge(stage, epoch)
        rule = self.recipe.stages[epoch.stage].early_stop
        if place.stops(epoch.number, scores.top1, rule) and not ended:
            self.reporter.say(f"the stage ends early: no better since epoch {place.stage_epoch}")
            scores, ended = self._end_stage(stage, epoch), True
        better = place.judge(epoch.number, scores, stage.is_whole)
        row = {
            "epoch": epoch.number,
            "stage": self.recipe.stages[epoch.stage].name or epoch.stage + 1,
            "step": epoch.before + epoch.steps,
            "progress": round(self._told, 5),
            "lr": lr,
            "train_loss": round(loss / images, 5),
            "train_top1": "" if stage.mix else round(100 * right / images, 3),
            **scores.columns("val" if self.loaders.held_out else "test"),
            "saturated": "" if scores.saturated is None else len(scores.saturated),
            "images_per_s": round(images / trained, 1),
        }
        if ended and epoch.stage + 1 == len(self.recipe.stages) and self.loaders.held_out:
            tested = self._score(stage, self.loaders.test, epoch)
            place.top1, place.top5 = tested.top1, tested.top5
            row |= tested.columns("test")
        self._watch.see(scores.saturated)
        assert self._indicators is not None
        summary, layers = self._indicators.record(stage.model, scores.saturation)
        seconds = time.monotonic() - began
        place.epochs = self._end_of(epoch) if ended else epoch.number
        place.seconds += seconds
        if ended:
            place.end_stage()
        row |= {**summary, "seconds": round(seconds, 2)}
        self._write(stage, place, row, layers, better)
        self.reporter.epoch_done(row)
        return ended

    def _end_of(self, epoch: Epoch) -> int:
        """The number of the last epoch that the plan has for the stage of `epoch`."""
        return max(other.number for other in self.plan if other.stage == epoch.stage)

    def _steps(self, epoch: Epoch, stage: RunningStage) -> list[float]:
        """All optimiser steps of an epoch. Returns images, summed loss and right answers of all processes."""
        stage.model.train()
        total = torch.zeros(3, dtype=torch.float64)
        recent: list[Tensor] = []
        reported = time.monotonic()
        for step, (images, labels) in zip(range(epoch.steps), self.loaders.train, strict=False):
            self._told = self._progress.tell(stage.model, epoch, step)
            images = images.contiguous(memory_format=self.layout)
            last = step + 1 == epoch.steps
            look = self._read_gradients(stage.model) if last else None
            recent.append(stage.step(epoch.start + step, images, labels, look))
            if time.monotonic() - reported > 1 / REPORTS_PER_SECOND or last:
                total += torch.stack(recent).double().sum(0).cpu()
                recent.clear()
                if self.accelerator.num_processes == 1:
                    check_finite(float(total[1]), epoch, stage.model, images)
                self.reporter.step(step + 1, float(total[1] / total[0]))
                reported = time.monotonic()
        self.loaders.train.end()
        summed = sum_over_processes(total, self.accelerator)
        # The same sum everywhere: all processes stop, or none.
        check_finite(summed[1], epoch, stage.model, images)
        return summed

    def _read_gradients(self, model: nn.Module) -> Callable[[float], None]:
        def look(scale: float) -> None:
            assert self._indicators is not None
            self._indicators.read_gradients(model, scale)

        return look

    def _end_stage(self, stage: RunningStage, epoch: Epoch) -> Scores:
        """The stage is over: its weights are settled, its batch norms measured again, and judged."""
        stage.close()
        images = self.recipe.stages[epoch.stage].reestimate_norms
        if images:
            reestimate(stage.model, self.loaders.train, images, self.accelerator, self.layout)
        return self._judge(stage, epoch)

    def _judge(self, stage: RunningStage, epoch: Epoch) -> Scores:
        if self.accelerator.num_processes > 1:
            distribute_bn(stage.evaluated, self.accelerator.num_processes, reduce=True)
        return self._score(stage, self.loaders.judging, epoch)

    def _score(self, stage: RunningStage, loader: Loader, epoch: Epoch) -> Scores:
        scores = score(stage.evaluated, loader, self.accelerator, self.layout)
        check_finite(scores.loss, epoch)
        return scores

    def _write(
        self,
        stage: RunningStage,
        place: Place,
        row: dict[str, Any],
        layers: list[dict[str, Any]],
        better: bool,
    ) -> None:
        """Metrics, best, last: in this order, so that what `last` says is done is on disk."""
        if not self.accelerator.is_main_process:
            return
        directory = self._records.directory
        self._records.add(row, layers)
        if better:
            best = {"epoch": place.best_epoch, "top1": place.best_top1}
            weights = stage.evaluated.state_dict()
            save_weights(directory / layout.BEST / layout.WEIGHTS, weights, **best)
        checkpoint.save(directory / layout.LAST, stage.checkpoint(asdict(place)))


def check_finite(
    loss: float, epoch: Epoch, model: nn.Module | None = None, images: Tensor | None = None
) -> None:
    """Raises TrainingError where the loss is infinite or no number; it names the first layer of `model`
    that gives such values for `images`."""
    if math.isfinite(loss):
        return
    layer = first_bad_layer(model, images) if model is not None and images is not None else None
    where = f': layer "{layer}" gives the first value that is none' if layer else ""
    raise TrainingError(
        f"the loss is no longer a number in epoch {epoch.number}{where}",
        "lower the learning rate, or set clip_grad in the stage; the checkpoint of the last "
        "finished epoch is kept",
    )
