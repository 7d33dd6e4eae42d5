"""What is minimised: the loss of a model on a batch, as one module."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from timm.data import Mixup
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch import Tensor, nn
from torch.nn import functional as F

from binarize.errors import TrainingError
from binarize.fitting.outputs import LOGITS, Watched
from binarize.models import logits_of
from binarize.recipe.schema import Stage
from binarize.training.teacher import Teacher


class Objective(nn.Module):
    """images [N, 3, H, W], target [N] or [N, classes] -> (mean loss, right answers).

    It is this module that accelerate wraps (autocast, processes), so the model itself stays what it was:
    it can be copied, saved and evaluated in full precision at any time.

    Attributes:
        criterion: the stage's loss on the labels.
        distillation: the stage's loss on a teacher's outputs, or None.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.criterion: nn.Module = nn.CrossEntropyLoss()
        self.distillation: Distillation | None = None

    def forward(self, images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if self.distillation is None:
            logits = logits_of(self.model(images)).float()  # the loss itself is never in 16 bits
            loss = self.criterion(logits, target)
        else:
            logits, loss = self.distillation(self.model, images, self.criterion, target)
        hard = target if target.ndim == 1 else target.argmax(1)
        with torch.no_grad():
            right = (logits.argmax(1) == hard).sum()
        return loss, right


@dataclass(frozen=True)
class Distillation:
    """(1 - weight)·(loss on the labels) + weight·T²·cross-entropy(softmax(teacher/T), softmax(logits/T))
    + features·(the sum over inner outputs and the logits of mean((h - teacher's)²)/mean(teacher's²)).

    T² keeps the gradient's size independent of T (Hinton et al., arXiv 1503.02531). The last term is that of
    `binarize.fitting`. No module, so that the teacher's weights are nobody's parameters.

    Attributes:
        teacher: in eval mode, on the device; its gradients are not computed.
        labels: whether the first term is there.
    """

    teacher: nn.Module
    temperature: float
    weight: float
    features: float = 0.0
    labels: bool = True

    def __call__(
        self, model: nn.Module, images: Tensor, criterion: nn.Module, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(logits [N, classes], loss), both float32."""
        names: tuple[str, ...] = ()
        within = ""
        if isinstance(self.teacher, Teacher) and self.features:
            names, within = self.teacher.names, self.teacher.INNER
        with torch.no_grad():
            wanted = Watched(self.teacher, names, within=within).outputs(images)
        output, errors = Watched(model, names).errors(images, wanted)
        logits = output.float()  # the loss itself is never in 16 bits
        loss = logits.new_zeros(())
        if self.labels and self.weight < 1:
            loss = loss + (1 - self.weight) * criterion(logits, target)
        if self.weight:
            t = self.temperature
            soft = (wanted[LOGITS][0].float() / t).softmax(1)
            loss = loss + self.weight * t**2 * F.cross_entropy(logits / t, soft)
        if self.features:
            loss = loss + self.features * torch.stack(list(errors.values())).sum()
        return logits, loss


def criterion(stage: Stage) -> nn.Module:
    """Cross-entropy, with soft targets where images are mixed (mixup smooths the labels itself)."""
    if stage.mixup or stage.cutmix:
        return SoftTargetCrossEntropy()
    if stage.label_smoothing:
        return LabelSmoothingCrossEntropy(stage.label_smoothing)
    return nn.CrossEntropyLoss()


def distillation(stage: Stage, teacher: nn.Module | None) -> Distillation | None:
    """The stage's loss on the outputs of `teacher`; None without a teacher."""
    if stage.distill is None or teacher is None:
        return None
    chosen = stage.distill
    return Distillation(teacher, chosen.temperature, chosen.weight, chosen.features, chosen.labels)


def mixer(stage: Stage, classes: int, batch_size: int) -> Mixup | None:
    """timm's mixup and cutmix, or None. Raises TrainingError for an odd batch, which has no pairs."""
    if not stage.mixup and not stage.cutmix:
        return None
    if batch_size % 2:
        raise TrainingError(
            f"mixup and cutmix need an even batch, and each process gets {batch_size} images",
            "choose another batch size: --set data.batch_size=128",
        )
    return Mixup(
        stage.mixup, stage.cutmix, label_smoothing=stage.label_smoothing, num_classes=classes
    )
