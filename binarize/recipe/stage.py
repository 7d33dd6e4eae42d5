"""The sections of a stage: how long, what is binary, what is minimised and by which optimiser."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, ValidationInfo, field_validator

from binarize.recipe.section import Named, Pair, Section, key


class Optimizer(Named):
    """The optimiser, made by timm."""

    name: str = key(
        "a timm optimiser; note that timm's `sgd` is Nesterov's and `momentum` is the plain one",
        "sgd",
        min_length=1,
    )
    lr: float = key("learning rate, before schedule", gt=0)
    momentum: float = key("momentum, where the optimiser has one", 0.9, ge=0, lt=1)
    weight_decay: float = key("weight decay (not on biases and norms, see kwargs)", 0.0, ge=0)
    betas: Pair | None = key("Adam's betas; `null`: the optimiser's own", None)
    eps: float | None = key("Adam's epsilon; `null`: the optimiser's own", None, gt=0)
    kwargs: dict[str, Any] = key(
        "further arguments of timm's create_optimizer_v2, such as `filter_bias_and_bn: false`, "
        "which decays biases and norms too",
        dict,
    )


class Schedule(Named):
    """The learning rate over one stage. All epochs count from the start of the stage."""

    name: Literal["cosine", "step", "multistep", "poly", "constant"] = key(
        "the curve after the warm-up", "cosine"
    )
    warmup_epochs: float = key(
        "linear warm-up, part of the stage; fractions are allowed", 0.0, unit="epochs", ge=0
    )
    warmup_lr: float = key("learning rate at the start of the warm-up", 0.0, ge=0)
    min_lr: float = key("learning rate at the end of cosine and poly", 0.0, ge=0)
    decay_epochs: float | None = key(
        "step: multiply after every so many", None, unit="epochs", gt=0
    )
    decay_milestones: list[float] | None = key(
        "multistep: multiply at each of these", None, unit="epochs", min_length=1
    )
    decay_rate: float = key("the factor of step and multistep; the power of poly", 0.1, gt=0)

    @field_validator("decay_epochs", "decay_milestones")
    @classmethod
    def _belongs_to_its_curve(cls, value: Any, info: ValidationInfo) -> Any:
        owner = {"decay_epochs": "step", "decay_milestones": "multistep"}[str(info.field_name)]
        curve = info.data.get("name", owner if value is not None else None)
        if curve == owner and value is None:
            raise ValueError(f"is needed by schedule {owner}")
        if curve != owner and value is not None:
            raise ValueError(f"belongs to schedule {owner}, and this one is {curve}")
        return value


class Ema(Section):
    """Exponential moving average of the weights; it is what is evaluated and kept."""

    decay: float = key("share of the average that stays at every optimiser step", 0.999, gt=0, lt=1)


class Stage(Section):
    """One stretch of training. Stages follow each other; each has its own optimiser and schedule."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["epochs"]}, {"required": ["steps"]}]}
    )

    name: str | None = key("shown in the progress bar and in metrics.csv", None, min_length=1)
    epochs: int | None = key("duration; either this or steps", None, unit="epochs", ge=1)
    steps: int | None = key("duration; either this or epochs", None, unit="optimiser steps", ge=1)
    binary: Literal["all", "activations", "weights", "none"] = key(
        "what is binary in this stage, of what `binarize` makes binary; `all` in the last one",
        "all",
    )
    optimizer: Optimizer = key("the optimiser")
    schedule: Schedule = key("the learning rate over the stage", Schedule)
    label_smoothing: float = key("label smoothing", 0.0, ge=0, lt=1)
    mixup: float = key("mixup alpha; 0: off", 0.0, ge=0)
    cutmix: float = key("cutmix alpha; 0: off", 0.0, ge=0)
    clip_grad: float | None = key("clip the gradient to this norm; `null`: do not", None, gt=0)
    ema: Ema | None = key("average the weights, `{decay: 0.999}`; `null`: do not", None)

    @property
    def binary_weights(self) -> bool:
        """Whether weights are binary in this stage."""
        return self.binary in ("all", "weights")

    @property
    def binary_inputs(self) -> bool:
        """Whether inputs of layers are binary in this stage."""
        return self.binary in ("all", "activations")

    @field_validator("steps")
    @classmethod
    def _one_duration(cls, steps: int | None, info: ValidationInfo) -> int | None:
        if "epochs" in info.data and (steps is None) == (info.data["epochs"] is None):
            given = "has neither" if steps is None else "has both"
            raise ValueError(f"a stage lasts for exactly one of epochs and steps; this one {given}")
        return steps

    @field_validator("schedule")
    @classmethod
    def _warmup_fits(cls, schedule: Schedule, info: ValidationInfo) -> Schedule:
        epochs = info.data.get("epochs")
        if epochs is not None and schedule.warmup_epochs > epochs:
            raise ValueError(
                f"warms up for {schedule.warmup_epochs:g} epochs, but the stage has {epochs}"
            )
        return schedule
