"""Real but tiny trainings: digits at 8x8 pixels, batches of 256, so an epoch is five steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from binarize.progress import Progress
from binarize.recipe import Recipe, load
from binarize.training import TrainResult, train

MODEL = "cifar_resnet20"


def recipe(epochs: int = 2, **sections: Any) -> Recipe:
    data = {"name": "digits", "img_size": 8, "batch_size": 256, "workers": 0, "cache": True}
    stage = {"epochs": epochs, "optimizer": {"name": "momentum", "lr": 0.05}}
    return load(
        {
            "data": {**data, **sections.pop("data", {})},
            "stages": sections.pop("stages", [stage]),
            "engine": {"threads": 1},
            **sections,
        }
    )


SMALLER = {"blocks": 1}
"""Arguments of the model: one block a stage and not three."""
BINARY = {
    "model": {"name": MODEL, "pretrained": False, "kwargs": SMALLER},
    "binarize": {"estimator": "ab-tanh"},
}


class Told(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.tasks: list[tuple[str, int | None, int]] = []
        self.path: Path | None = None

    def run(self, path: Path) -> None:
        self.path = path

    def say(self, text: str) -> None:
        self.said.append(text)

    def task(self, what: str, total: int | None = None, done: int = 0) -> None:
        self.tasks.append((what, total, done))

    def heard(self, words: str) -> bool:
        return any(words in text for text in self.said)


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it."""


class KillIn(Told):
    """Dies within the given epoch of the phase with the given name."""

    def __init__(self, phase: str, epoch: int) -> None:
        super().__init__()
        self.phase, self.number = phase, epoch

    def update(self, done: int, note: str = "") -> None:
        if self.tasks[-1][0] == self.phase and note.startswith(f"epoch {self.number}/"):
            raise Killed


def finish(chosen: Recipe, out: Path, **more: Any) -> TrainResult:
    return train(chosen, out=out, **more)
