"""The progress of estimators in a training loop of one's own."""

from __future__ import annotations

import operator
from typing import Any

from torch import nn

from binarize.errors import ModelError, TrainingError
from binarize.layers.swap import binary_weights, set_progress


class Schedule:
    """Moves the estimators of a converted model from the beginning of a training to its end.

        model = binarize.convert("resnet18")
        schedule = binarize.Schedule(model, steps=epochs * len(loader))
        for images, labels in ...:
            loss(model(images), labels).backward()
            optimizer.step()
            schedule.step()

    Estimators such as ab-tanh, ede, dsq, reste, recu and fda change their gradient over the training: wide at
    first, near the step at the end. `step` belongs behind each `optimizer.step()`, as that of a learning-rate
    scheduler does. The first optimiser step is made at progress 0, the last of the `steps` at 1; what comes
    later stays there. Estimators without a schedule do not care.

    Args:
        model: converted; also inside DistributedDataParallel, torch.compile or a module of your own.
        steps: optimiser steps of the whole training.

    Raises ModelError where no weight of the model is binary.
    """

    def __init__(self, model: nn.Module, steps: int) -> None:
        self.model, self.steps, self.done = model, operator.index(steps), 0
        if self.steps < 1:
            raise TrainingError(f"a training of {steps} steps has no progress", "give at least one")
        if not any(True for _ in binary_weights(model)):
            raise ModelError(
                "no weight of this model is binary, so there is no progress to set",
                "convert it first: model = binarize.convert(model)",
            )
        self._set()

    @property
    def progress(self) -> float:
        """What the estimators know: 0 at the first of the steps, 1 at the last."""
        return min(self.done / max(self.steps - 1, 1), 1.0)

    def step(self) -> None:
        """An optimiser step is done."""
        self.done += 1
        self._set()

    def state_dict(self) -> dict[str, Any]:
        """How far it is, for a checkpoint; the model's own state does not tell."""
        return {"steps": self.steps, "done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where the schedule that `state` is of was, over as many steps as that one."""
        self.steps, self.done = operator.index(state["steps"]), operator.index(state["done"])
        self._set()

    def _set(self) -> None:
        set_progress(self.model, self.progress)
