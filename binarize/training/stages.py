"""A stage under way: its optimiser, schedule, loss, mixing and averaging, and the step they make."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from binarize.errors import TrainingError
from binarize.layers import added_modules
from binarize.recipe.schema import Recipe
from binarize.run.weights import load_state
from binarize.training.checkpoint import Checkpoint, fits
from binarize.training.objective import Objective, criterion, distillation, mixer
from binarize.training.optim import make_optimizer, make_schedule
from binarize.training.plan import stage_steps
from binarize.training.tensor_tree import load_optimizer


class RunningStage:
    """Everything that lives as long as one stage of a recipe.

    Args:
        model: the bare module, on its device; its weights are where the stage starts, and what is to
            be binary in the stage is switched on.
        objective: the module that accelerate prepared around `Objective(model)`.
        per_epoch: optimiser steps of one pass over the data.
        teacher: what the stage is distilled from, or None.
    """

    def __init__(
        self,
        recipe: Recipe,
        index: int,
        model: nn.Module,
        objective: nn.Module,
        accelerator: Accelerator,
        per_epoch: int,
        classes: int,
        teacher: nn.Module | None = None,
    ) -> None:
        stage = recipe.stages[index]
        self.index = index
        self.model, self.objective, self.accelerator = model, objective, accelerator
        self.clip_grad = stage.clip_grad
        self.parts = recipe.engine.accumulate
        bare: Objective = accelerator.unwrap_model(objective)
        bare.criterion = criterion(stage)
        bare.distillation = distillation(stage, teacher)
        self.teacher = teacher
        self.mix = mixer(stage, classes, recipe.data.batch_size // accelerator.num_processes)
        self._bare_optimizer = make_optimizer(stage.optimizer, model)
        self.optimizer = accelerator.prepare_optimizer(self._bare_optimizer)
        steps = stage_steps(stage, per_epoch)
        self.schedule = make_schedule(stage.schedule, self._bare_optimizer, steps, per_epoch)
        self.ema = ModelEmaV3(model, decay=stage.ema.decay) if stage.ema else None
        self._closed = False
        self._restored: Path | None = None

    @property
    def lr(self) -> float:
        """The learning rate of the schedule."""
        groups = self._bare_optimizer.param_groups
        scale, lr = max((group.get("lr_scale", 1.0), group["lr"]) for group in groups)
        return lr / scale if scale else 0.0

    @property
    def evaluated(self) -> nn.Module:
        """The module that this stage is evaluated with."""
        return self.ema.module if self.ema else self.model

    @property
    def is_whole(self) -> bool:
        """Whether all is binary that will be in the end."""
        return all(module.enabled for module in added_modules(self.model))

    def step(
        self,
        update: int,
        images: Tensor,
        labels: Tensor,
        on_gradients: Callable[[float], None] | None = None,
    ) -> Tensor:
        """Optimiser step number `update` of the stage. Returns [3]: images, summed loss, right answers.

        `on_gradients` is called when the gradients are there, with what they are still multiplied by.
        """
        try:
            self.schedule.step_update(update)
        except OverflowError as error:
            raise TrainingError(
                f"the learning rate of step {update} is beyond all numbers",
                "make the stage's schedule.decay_rate smaller than 1",
            ) from error
        target = labels
        if self.mix is not None:
            images, target = self.mix(images, labels)
        total = torch.zeros(3, device=images.device)
        parts = list(zip(images.chunk(self.parts), target.chunk(self.parts), strict=True))
        for number, (some_images, some_target) in enumerate(parts, 1):
            with self._gradients_shared(number == len(parts)):
                loss, right = self.objective(some_images, some_target)
                self.accelerator.backward(loss * (len(some_images) / len(images)))
            # A kernel fills in the count; a tensor made of a number is a copy that the host waits for.
            count = loss.new_full((), float(len(some_images)))
            total += torch.stack([count, loss.detach() * count, right.to(loss.dtype)])
        if self.clip_grad is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.clip_grad)
        if on_gradients is not None:
            scaler = self.accelerator.scaler
            on_gradients(scaler.get_scale() if scaler and self.clip_grad is None else 1.0)
        with fits(self._restored) if self._restored else contextlib.nullcontext():
            self.optimizer.step()
        self._restored = None
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update(self.model)
        return total

    def close(self) -> None:
        """The stage is over: the next one continues from the weights that this one is evaluated with."""
        if self.ema is not None:
            self.model.load_state_dict(self.ema.module.state_dict())
            self.ema = None
        self._closed = True

    def checkpoint(self, state: dict[str, Any]) -> Checkpoint:
        """What the end of an epoch leaves behind; the optimiser ends with its stage."""
        raw = self.model.state_dict() if self.ema else None
        optimizer = None if self._closed else self._bare_optimizer.state_dict()
        if self.accelerator.scaler is not None:
            state = {**state, "scaler": self.accelerator.scaler.state_dict()}
        return Checkpoint(self.evaluated.state_dict(), raw, optimizer, state)

    def restore(self, checkpoint: Checkpoint, last: Path) -> None:
        """Continue from a checkpoint: one made within this stage, or at the end of the one before.

        Raises CheckpointError, which names its directory `last`, where it is one of something else; so does
        the first step, which alone knows what the optimiser needs.
        """
        with fits(last):
            self._restore(checkpoint)
        self._restored = last

    def _restore(self, checkpoint: Checkpoint) -> None:
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(checkpoint.state["scaler"])
        if checkpoint.optimizer is None:
            return
        if self.ema is not None and checkpoint.raw is not None:
            load_state(self.ema.module, checkpoint.weights)
            load_state(self.model, checkpoint.raw)
        load_optimizer(self._bare_optimizer, checkpoint.optimizer)

    def _gradients_shared(self, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Processes exchange gradients once per step, with its last part."""
        if last:
            return contextlib.nullcontext()
        return self.accelerator.no_sync(self.objective)
