"""Loss and accuracy on held-out or test images at the end of an epoch, in float32; without labels,
the agreement with a teacher."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from binarize.data import Loader
from binarize.layers import IMBALANCED
from binarize.models import full_precision, logits_of
from binarize.run.tables import AGREEMENT, LOSS, TOP1, TOP5, scored
from binarize.training.calibration import input_shares


@dataclass
class Scores:
    """Mean loss, and top-1 and top-5 in per cent, over `images` images.

    `imbalance`: layer name -> share of the commoner value of its binary input; None where no input is
    binary. `labelled`: whether it is labels that were compared with, and not the answers of a teacher.
    """

    images: int
    loss: float
    top1: float
    top5: float
    imbalance: dict[str, float] | None = None
    labelled: bool = True

    @property
    def saturated(self) -> list[str] | None:
        """The layers whose binary input hardly ever changes; None where no input is binary."""
        if self.imbalance is None:
            return None
        return [name for name, share in self.imbalance.items() if share > IMBALANCED]

    def columns(self, images: str) -> dict[str, float]:
        """What a row of metrics.csv has of them, which are of VAL or TEST images."""
        if not self.labelled:
            return {AGREEMENT: round(self.top1, 3)}
        values = {LOSS: round(self.loss, 5), TOP1: round(self.top1, 3), TOP5: round(self.top5, 3)}
        return {scored(images, name): value for name, value in values.items()}


@torch.inference_mode()
def score(
    model: nn.Module,
    loader: Loader,
    accelerator: Accelerator,
    layout: torch.memory_format,
    teacher: nn.Module | None = None,
) -> Scores:
    """Scores of `model` over `loader`, which gives each process its own share of the images.

    Where a `teacher` is given, its answers stand in for labels: top-1 is on how many both agree.

    In float32 whatever the training's precision is, so that the figure is the one that the exported
    file reaches. The model is left in eval mode.
    """
    model.eval()
    total = torch.zeros(4, dtype=torch.float64)
    shares: dict[str, float] | None = None
    scores: list[
        Tensor
    ] = []  # on the device: the host does not wait for a batch to send the next one
    with full_precision():
        for images, labels in loader:
            images = images.to(accelerator.device, memory_format=layout, non_blocking=True)
            if not scores:
                shares = input_shares(model, images)
            labels = labels.to(accelerator.device, non_blocking=True)
            if teacher is not None:
                labels = logits_of(teacher(images)).argmax(1)
            scores.append(_batch_scores(logits_of(model(images)), labels))
    for batch in torch.stack(scores).cpu() if scores else ():  # a process may have no image
        total += batch
    images, loss, top1, top5 = sum_over_processes(total, accelerator)
    percent = (100 * top1 / images, 100 * top5 / images)
    return Scores(int(images), loss / images, *percent, shares, teacher is None)


def sum_over_processes(total: Tensor, accelerator: Accelerator) -> list[float]:
    """The entries of `total`, a vector, added up over all processes."""
    if accelerator.num_processes == 1:
        return total.tolist()
    return accelerator.reduce(total.float().to(accelerator.device), reduction="sum").tolist()


def _batch_scores(logits: Tensor, labels: Tensor) -> Tensor:
    """[4]: images, summed loss, right answers, right answers among the first five."""
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
    loss = F.cross_entropy(logits, labels, reduction="sum")
    return torch.stack([loss.new_full((), len(labels)), loss, best[:, 0].sum(), best.sum()])
