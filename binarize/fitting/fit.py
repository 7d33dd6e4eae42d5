"""Fit a binary network to its float parent on a few hundred images, without labels.

What is minimised is the sum, over inner outputs and the logits, of

    mean((h_b - h_f)²)/mean(h_f²)

h_b of the binary network, whose batch norms use the statistics of the batch, h_f of its float parent in eval
mode. All parameters of the binary network learn. After Real-to-Binary (arXiv 2003.11535) and BRECQ (arXiv
2102.05426), but end to end: see docs/decisions/0023-fitting-to-the-float-parent.md.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from binarize.fitting import norms
from binarize.fitting.images import FitImages, batches
from binarize.fitting.outputs import LOGITS, Watched
from binarize.fitting.parent import Parent
from binarize.layers import set_progress
from binarize.progress import Progress
from binarize.run import FitRecord

IMAGES = 1024
STEPS = 120
BATCH = 32
RATE = 3e-3
SHOWN = 5
"""The error is shown every so many steps: to show it, the host waits for the device."""


@dataclass(frozen=True)
class Distance:
    """How far a network is from its float parent.

    Attributes:
        errors: name of an inner output, "" for the logits -> its relative error.
        agreement: share of the images on which both have the same first answer, in per cent; None for
            networks that do not answer with classes.
    """

    errors: dict[str, float]
    agreement: float | None

    @property
    def total(self) -> float:
        return sum(self.errors.values())


def fit(
    network: Watched,
    parent: nn.Module,
    images: FitImages,
    *,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> FitRecord:
    """Fit the binary `network`, in place, to the float `parent`; both end in eval mode.

    With `steps` of 0 only the batch norms are measured again. The network is never left farther from its
    parent than it was, judged by the images held aside (or, without any, by those that it is fitted on).

    Args:
        network: the binary network, with the modules whose outputs are compared.
        parent: the float network that it was converted from: it has modules of the same names.
        steps: of the optimiser, `BATCH` images each.
        seed: of the order of the images.
    """
    return _Fitting(network, parent, images, progress or Progress()).run(steps, seed)


class _Fitting:
    """Everything that lives as long as one fit."""

    def __init__(
        self, network: Watched, parent: nn.Module, images: FitImages, progress: Progress
    ) -> None:
        self.network, self.model = network, network.model
        self.images, self.judges = images.fitted, images.held_aside or images.fitted
        self.progress = progress
        weight = next(p for p in self.model.parameters() if p.is_floating_point())
        self.place = weight.new_empty(0)
        self.layout = self.fastest_layout()
        watched = Watched(parent, network.names, network.submodule)
        self.parent = Parent(watched, len(self.images))
        self.judge = Parent(watched, len(self.judges))

    def run(self, steps: int, seed: int) -> FitRecord:
        began = time.monotonic()
        before = self.distance()
        best, kept = before, self.state()
        for change in self.changes(steps, seed):
            change()
            found = self.distance()
            if found.total < best.total:  # never where it is not a number
                best, kept = found, self.state()
        self.model.load_state_dict(kept)
        return FitRecord(
            images=len(self.images),
            steps=steps,
            seconds=round(time.monotonic() - began, 1),
            error_before=before.total,
            error_after=best.total,
            agreement_before=before.agreement,
            agreement_after=best.agreement,
            outputs={name: (error, best.errors[name]) for name, error in before.errors.items()},
        )

    def changes(self, steps: int, seed: int) -> Iterator[Callable[[], None]]:
        """What is done to the network, one after the other; it keeps what came closest to its parent."""
        if steps:
            yield lambda: self.learn(steps, seed)
        if norms.batch_norms(self.model):
            yield self.measure_norms

    def learn(self, steps: int, seed: int) -> None:
        """All parameters learn, at a rate that falls to 0 along a cosine."""
        with _all_learn(self.model) as parameters:
            self.descend(Adam(parameters, RATE, fused=True), steps, seed)

    def descend(self, optimizer: Adam, steps: int, seed: int) -> None:
        schedule = CosineAnnealingLR(optimizer, steps)
        self.progress.task("fitting", steps)
        with norms.learning(self.model):
            for step, (numbers, images) in zip(range(steps), self.drawn(seed), strict=False):
                set_progress(self.model, step / max(steps - 1, 1))
                _, errors = self.network.errors(images, self.parent(numbers, images))
                loss = torch.stack(list(errors.values())).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                if step % SHOWN == 0 or step == steps - 1:
                    self.progress.update(step + 1, f"error {float(loss.detach()):.3g}")

    def drawn(self, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches without end, the images in a new order each time."""
        generator = torch.Generator().manual_seed(seed)
        size = min(BATCH, len(self.images))
        while True:
            order = torch.randperm(len(self.images), generator=generator).tolist()
            whole = len(order) // size * size  # a batch of one image has no statistics
            for numbers, images in batches(self.images, size, order[:whole]):
                yield numbers, self.moved(images)

    def measure_norms(self) -> None:
        """Batch norms take their statistics from the images."""
        self.progress.task("measuring batch norms", len(self.images))
        with norms.measuring(self.model), torch.no_grad():
            for numbers, images in batches(self.images, BATCH):
                self.network.run(self.moved(images))
                self.progress.update(int(numbers[-1]) + 1)

    @torch.no_grad()
    def distance(self) -> Distance:
        """Judged by the images held aside, in eval mode."""
        self.progress.task("comparing with the float network", len(self.judges))
        self.model.eval()
        sums: dict[str, float] = {}
        same, answered = 0, False
        for numbers, images in batches(self.judges, BATCH):
            images = self.moved(images)
            wanted = self.judge(numbers, images)
            logits, errors = self.network.errors(images, wanted)
            for name, error in errors.items():
                sums[name] = sums.get(name, 0.0) + float(error) * len(images)
            theirs = wanted[LOGITS][0]
            answered = logits.ndim == 2 and logits.shape[1] > 1
            if answered:
                same += int((logits.argmax(1) == theirs.argmax(1)).sum())
            self.progress.update(int(numbers[-1]) + 1)
        count = len(self.judges)
        means = {name: total / count for name, total in sums.items()}
        return Distance(means, 100 * same / count if answered else None)

    def state(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    def moved(self, images: Tensor) -> Tensor:
        """To where the network is, in its type and the faster memory order."""
        return images.to(self.place).contiguous(memory_format=self.layout)

    @torch.no_grad()
    def fastest_layout(self) -> torch.memory_format:
        """channels_last, in which most devices convolve faster, where the network can work in it: one with a
        `view` of its own may not."""
        few = torch.stack([self.images[number] for number in range(min(2, len(self.images)))])
        if few.ndim == 4:
            self.model.eval()
            with contextlib.suppress(RuntimeError):
                self.network.run(few.to(self.place).contiguous(memory_format=torch.channels_last))
                return torch.channels_last
        return torch.contiguous_format


@contextlib.contextmanager
def _all_learn(model: nn.Module) -> Iterator[list[nn.Parameter]]:
    """The parameters of `model`, with gradients: also where the caller has frozen them, or asks for none."""
    parameters = [p for p in model.parameters() if p.is_floating_point()]
    frozen = [p for p in parameters if not p.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            yield parameters
    finally:
        for parameter in parameters:
            parameter.grad = None
        for parameter in frozen:
            parameter.requires_grad_(False)
