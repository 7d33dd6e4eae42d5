"""The loop that trains one model: epochs, evaluation, checkpoints, metrics.

It is a function of what is on disk. `Trainer.train` reads the last checkpoint of a directory (or the
initial weights), continues from there to the end of the plan, and leaves every epoch on disk before it
starts the next; a new training and a resumed one are the same code.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from timm.utils import distribute_bn

from binarize.data import Loader
from binarize.layers import switch
from binarize.run import layout, tables
from binarize.run.weights import load_state, save_weights
from binarize.training import checkpoint
from binarize.training.accuracy import Scores, score
from binarize.training.calibration import Watch, begins, calibrate_inputs
from binarize.training.device import wrapped
from binarize.training.diagnosis import check_finite
from binarize.training.estimator_progress import EstimatorProgress, use_estimator
from binarize.training.idle import has_idle_parameters
from binarize.training.indicators import Indicators
from binarize.training.norms import reestimate, synchronised
from binarize.training.objective import Objective
from binarize.training.phase import Phase, Setup
from binarize.training.plan import Epoch
from binarize.training.records import Records
from binarize.training.seeding import EpochSeeds
from binarize.training.stages import RunningStage
from binarize.training.steps import Trained, run_steps
from binarize.training.training_state import TrainingState


class Trainer(Setup):
    """Trains the phases of one run."""

    def train(self, phase: Phase) -> TrainingState:
        """Train `phase` to the end from where its directory says it is.

        Raises TrainingError where the loss is no longer finite, CheckpointError where the last
        checkpoint cannot be read. Whatever happens, the last checkpoint stays.
        """
        phase.model = synchronised(phase.model, self.recipe.engine, self.accelerator)
        phase.model.to(self.accelerator.device).to(memory_format=self.layout)
        state, saved = self._where(phase)
        written = (phase.directory, self.recipe, self.accelerator, state, self.plan)
        with Records(*written, self.progress.say) as records:
            RunningPhase(self, phase, state, records).finish(saved)
        return state

    def _where(self, phase: Phase) -> tuple[TrainingState, checkpoint.Checkpoint | None]:
        """How far the phase is, its model holding the weights that it had there."""
        last = phase.directory / layout.LAST
        if not last.exists():
            return TrainingState(per_epoch=self.per_epoch), None
        saved = checkpoint.load(last)
        state = TrainingState.of(saved.state, last)
        state.check(self.per_epoch)
        stage = self.recipe.stages[self.plan[state.epochs - 1].stage]
        use_estimator(phase.model, self.recipe, stage, phase.own)
        with checkpoint.fits(last):
            load_state(phase.model, saved.weights)
        return state, saved


class RunningPhase:
    """Everything that lives as long as the training of one model, besides what stages have of their own.

    Args:
        phase: its model is on the device, with the weights of `state`.
        place: how far it is; kept up to date.
        records: what is written down of every epoch.
    """

    def __init__(self, setup: Setup, phase: Phase, state: TrainingState, records: Records) -> None:
        self.setup, self.phase, self.state, self.records = setup, phase, state, records
        self.recipe, self.accelerator = setup.recipe, setup.accelerator
        rank = self.accelerator.process_index
        self.seeds = EpochSeeds(self.recipe.seed, rank, setup.loaders.train)
        self.estimators = EstimatorProgress(self.recipe, setup.per_epoch, phase.own)
        self.watch = Watch(records.rows, setup.progress)

    def finish(self, saved: checkpoint.Checkpoint | None) -> None:
        """Train all epochs that are left; `saved` is the checkpoint that the first one continues from."""
        self._announce()
        stage: RunningStage | None = None
        indicators: Indicators | None = None
        for epoch in self.setup.plan:
            if epoch.number <= self.state.epochs:
                continue
            if stage is None:
                stage = self._open(epoch)
                if saved is not None:
                    stage.restore(saved, self.phase.directory / layout.LAST)
                saved = None
            if indicators is None:
                indicators = Indicators(self.phase.model)
            self.seeds.start(epoch.number)
            if self._run_epoch(epoch, stage, indicators):
                stage = None

    def _announce(self) -> None:
        name, plan, done = self.phase.name, self.setup.plan, self.state.epochs
        self.setup.progress.say(
            f"{name}: {len(plan)} epochs" + (f", {done} of them done" if done else "")
        )
        steps = [epoch.steps for epoch in plan]
        self.setup.progress.task(name, sum(steps), sum(steps[:done]))

    def _open(self, epoch: Epoch) -> RunningStage:
        """The stage of `epoch`. Binary inputs are calibrated before what it copies of them."""
        setup, phase, stage = self.setup, self.phase, self.recipe.stages[epoch.stage]
        model = phase.model
        use_estimator(model, self.recipe, stage, phase.own)
        switch(model, weights=stage.binary_weights, inputs=stage.binary_inputs)
        if not phase.calibrated and begins(epoch, self.recipe.stages, model):
            self.seeds.start(epoch.number)  # the images that the first steps are going to see
            done = calibrate_inputs(model, setup.loaders.train, self.accelerator, setup.layout)
            setup.progress.say(f"binary inputs calibrated on {done.images} training images")
        teacher = phase.teacher(stage.distill) if stage.distill else None
        if teacher is not None:
            teacher = teacher.to(self.accelerator.device).to(memory_format=setup.layout)
        if setup.stages_begun:
            # Wrapper and optimiser of the stage before: accelerate would divide the gradients of fp16 by the
            # loss scale once for every optimiser that it knows.
            self.accelerator.free_memory()
        setup.stages_begun += 1
        idle = has_idle_parameters(model, setup.loaders.train, self.accelerator, setup.layout)
        return RunningStage(
            self.recipe,
            epoch.stage,
            model,
            wrapped(Objective(model), idle, self.accelerator),
            self.accelerator,
            setup.per_epoch,
            setup.classes,
            teacher,
        )

    def _run_epoch(self, epoch: Epoch, stage: RunningStage, indicators: Indicators) -> bool:
        """One epoch, its evaluation, and what they leave on disk. `state` is brought up to date.

        Returns whether the stage is over, because the plan says so or because it no longer gets better.
        """
        began, state, rule = (
            time.monotonic(),
            self.state,
            self.recipe.stages[epoch.stage].early_stop,
        )
        trained = run_steps(self.setup, stage, epoch, self.estimators, indicators)
        ended = epoch.last_of_stage
        scores = self._end_stage(stage, epoch) if ended else self._evaluate(stage, epoch)
        if state.stops(epoch.number, scores.top1, rule) and not ended:
            self.setup.progress.say(
                f"the stage ends early: no better since epoch {state.stage_epoch}"
            )
            scores, ended = self._end_stage(stage, epoch), True
        better = state.update_best(epoch.number, scores, stage.is_whole)
        row = self._row(epoch, stage, trained, scores)
        loaders, at_the_end = self.setup.loaders, epoch.stage + 1 == len(self.recipe.stages)
        if ended and at_the_end and loaders.held_out and loaders.test:
            tested = self._score(stage, loaders.test, epoch)
            state.top1, state.top5 = tested.top1, tested.top5
            row |= tested.columns(tables.TEST)
        self.watch.update(scores.saturated)
        summary, layers = indicators.record(stage.model, scores.imbalance)
        seconds = time.monotonic() - began
        state.epochs = self.setup.end_of(epoch.stage) if ended else epoch.number
        state.trained += 1
        state.seconds += seconds
        if ended:
            state.end_stage()
        row |= {**summary, tables.SECONDS: round(seconds, 2)}
        self._write(stage, row, layers, better)
        self.setup.progress.epoch(row, len(self.setup.plan))
        return ended

    def _row(
        self, epoch: Epoch, stage: RunningStage, trained: Trained, scores: Scores
    ) -> dict[str, Any]:
        """What metrics.csv gets of an epoch, but for its indicators and its seconds."""
        return {
            tables.EPOCH: epoch.number,
            tables.STAGE: self.recipe.stages[epoch.stage].name or epoch.stage + 1,
            tables.STEP: epoch.before + epoch.steps,
            tables.PROGRESS: round(trained.progress, 5),
            tables.LR: trained.lr,
            tables.scored(tables.TRAIN, tables.LOSS): round(trained.loss, 5),
            tables.scored(tables.TRAIN, tables.TOP1): (
                "" if stage.mix or not scores.labelled else round(trained.top1, 3)
            ),
            **scores.columns(tables.VAL if self.setup.loaders.held_out else tables.TEST),
            tables.SATURATED: "" if scores.saturated is None else len(scores.saturated),
            tables.IMAGES_PER_S: round(trained.images_per_s, 1),
        }

    def _end_stage(self, stage: RunningStage, epoch: Epoch) -> Scores:
        """The stage is over: its weights are settled, its batch norms measured again, and evaluated."""
        stage.close()
        loader, images = self.setup.loaders.train, self.recipe.stages[epoch.stage].reestimate_norms
        if images:
            reestimate(stage.model, loader, images, self.accelerator, self.setup.layout)
        return self._evaluate(stage, epoch)

    def _evaluate(self, stage: RunningStage, epoch: Epoch) -> Scores:
        if self.accelerator.num_processes > 1:
            distribute_bn(stage.evaluated, self.accelerator.num_processes, reduce=True)
        return self._score(stage, self.setup.loaders.selection, epoch)

    def _score(self, stage: RunningStage, loader: Loader, epoch: Epoch) -> Scores:
        teacher = stage.teacher if self.recipe.data.labels is False else None
        scores = score(stage.evaluated, loader, self.accelerator, self.setup.layout, teacher)
        check_finite(scores.loss, epoch)
        return scores

    def _write(
        self, stage: RunningStage, row: dict[str, Any], layers: list[dict[str, Any]], better: bool
    ) -> None:
        """Metrics, best, last: in this order, so that what `last` says is done is on disk."""
        if not self.accelerator.is_main_process:
            return
        directory, state = self.phase.directory, self.state
        self.records.add(row, layers)
        if better:
            best = {"epoch": state.best_epoch, "top1": state.best_top1}
            weights = stage.evaluated.state_dict()
            save_weights(directory / layout.BEST / layout.WEIGHTS, weights, **best)
        checkpoint.save(directory / layout.LAST, stage.checkpoint(asdict(state)))
