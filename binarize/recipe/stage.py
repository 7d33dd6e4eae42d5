"""The sections of a stage: how long, what is binary, what is minimised and by which optimiser."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, ValidationInfo, field_validator, model_validator
from typing_extensions import Self

from binarize.recipe.conversion import Estimator
from binarize.recipe.section import Named, Pair, Section, Share, key


class Group(Section):
    """What is different for one group of parameters."""

    lr_scale: float = key("multiplies the learning rate of the schedule", 1.0, ge=0)
    weight_decay: float | None = key("weight decay; `null`: the optimiser's", None, ge=0)


class Groups(Section):
    """Parameters in groups of their own: latent weights, what conversion added, and the rest."""

    latent: Group = key("latent weights of binary layers", Group)
    scales: Group = key(
        "what conversion added: learned scales, thresholds, shifts, slopes, an estimator's own; they "
        "never decay unless it is said here",
        Group,
    )
    rest: Group = key("all other parameters", Group)


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
    groups: Groups = key("other learning rates and decays by group", Groups)


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


FLOAT_TEACHER = "float"


class Distill(Section):
    """Learning from the outputs of a trained network, the teacher, on the same images: the loss is
    (1 - weight)·(that on the labels) + weight·T²·cross-entropy(softmax(teacher/T), softmax(model/T))
    + features·(the sum over inner outputs and the logits of mean((model - teacher)²)/mean(teacher²))."""

    teacher: str = key(
        "`float`: this training's float baseline, or without one the float model that it starts from; else a "
        "run, or the name of a model with pretrained weights",
        FLOAT_TEACHER,
        min_length=1,
    )
    temperature: float = key("T: divides the logits of both", 1.0, gt=0)
    weight: Share = key("share of the teacher's logits in the loss", 1.0)
    features: float = key(
        "times the relative errors of inner outputs, as in `convert --calib-data`; the teacher must have the "
        "same architecture",
        0.0,
        ge=0,
    )
    labels: bool = key(
        "`false`: without the first term, so that labels do not count; nor need there be any, see "
        "`data.labels`",
        True,
    )

    @model_validator(mode="after")
    def _learns_something(self) -> Self:
        if not self.labels and not self.weight and not self.features:
            raise ValueError(
                "needs weight or features where labels are false: nothing is left to learn"
            )
        return self


class EarlyStop(Section):
    """The end of a stage that no longer gets better on the held-out images (`data.holdout`)."""

    patience: int = key("epochs without a better top-1 after which it ends", unit="epochs", ge=1)
    min_delta: float = key("what counts as better", 0.0, unit="per cent", ge=0)


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
    estimator: Estimator | None = key(
        "another estimator for the weights of this stage; `null`: what `binarize` says", None
    )
    skip_if: Literal["fitted"] | None = key(
        "`fitted`: leave the stage out where the training begins with a run that was fitted to its float "
        "model already, by `convert --calib-data` or by a training with that teacher; `null`: do not",
        None,
    )
    optimizer: Optimizer = key("the optimiser")
    schedule: Schedule = key("the learning rate over the stage", Schedule)
    label_smoothing: float = key("label smoothing", 0.0, ge=0, lt=1)
    mixup: float = key("mixup alpha; 0: off", 0.0, ge=0)
    cutmix: float = key("cutmix alpha; 0: off", 0.0, ge=0)
    clip_grad: float | None = key("clip the gradient to this norm; `null`: do not", None, gt=0)
    ema: Ema | None = key("average the weights, `{decay: 0.999}`; `null`: do not", None)
    distill: Distill | None = key("learn from a teacher, `{teacher: float}`; `null`: do not", None)
    early_stop: EarlyStop | None = key("end it when nothing gets better; `null`: do not", None)
    reestimate_norms: int = key(
        "training images on which the statistics of batch norms are measured again at the end of the "
        "stage; 0: they stay the running averages",
        0,
        unit="images",
        ge=0,
    )

    @property
    def needs_labels(self) -> bool:
        """Whether the labels of images count in this stage."""
        return self.distill is None or self.distill.labels

    @property
    def float_teacher(self) -> bool:
        """Whether the float model behind the trained one teaches in this stage."""
        return self.distill is not None and self.distill.teacher == FLOAT_TEACHER

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
