"""What lies where in a run; every name of a file once.

run.json              what the model is and how to rebuild it (`RunInfo`); it makes a directory a run
summary.json          the layer table and its totals
env.json              versions and machine
model.safetensors     weights, in a run made by `convert`
last/ best/           weights (model.safetensors) and training state, in a run made by `train`
initial/              the weights that an unfinished training began with
float/                the weights of the float parent that the run was fitted to
answers.json          which classes it takes for which, in a run that was trained on image files
sensitivity.json      what each layer costs when it alone is binary, where that was measured
recipe.resolved.yaml  the recipe as it was run, in a run made by `train`
metrics.csv           one line per epoch; indicators.csv: one per epoch and binary layer
tensorboard/          the same for TensorBoard, where the recipe wants it
report.html README.md what `binarize report` made of all that
twin/                 the float baseline, itself a run, where the recipe trains one
model.onnx            where `export` wrote it
.lock                 while it is trained, the process that trains it
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binarize.errors import RunError
from binarize.run.answers import Answers
from binarize.run.files import read_file, write_json
from binarize.run.info import RunInfo
from binarize.run.record import InvalidRecord, parse_json
from binarize.run.sensitivity import Sensitivities
from binarize.run.summary import SummaryRecord

ROOT = Path("runs")

INFO = "run.json"
SUMMARY = "summary.json"
ENVIRONMENT = "env.json"
WEIGHTS = "model.safetensors"
LAST, BEST = "last", "best"
CHECKPOINTS = (BEST, LAST)
TRAINING_TENSORS, TRAINING_SCALARS = "training.safetensors", "training.json"
INITIAL = Path("initial") / WEIGHTS
PARENT = Path("float") / WEIGHTS
SENSITIVITY = "sensitivity.json"
ANSWERS = "answers.json"
RECIPE = "recipe.resolved.yaml"
METRICS, INDICATORS = "metrics.csv", "indicators.csv"
TENSORBOARD = "tensorboard"
PAGE, CARD = "report.html", "README.md"
BASELINE = "twin"
ONNX = "model.onnx"
LOCK = ".lock"

REMAKE = "make the run again: binarize convert MODEL"


@dataclass(frozen=True)
class Run:
    """A run directory that exists."""

    path: Path

    @property
    def info(self) -> RunInfo:
        """run.json. Raises RunError where it is damaged, or says what it must not."""
        file = self.path / INFO
        try:
            return RunInfo.from_json(read_file(file))
        except (OSError, InvalidRecord) as problem:
            raise RunError(f'"{file}": {_words(problem)}', REMAKE) from problem

    @property
    def weights(self) -> Path:
        """The safetensors file that `load` reads: the last checkpoint, else the converted weights."""
        for path in (self.path / LAST / WEIGHTS, self.path / WEIGHTS):
            if path.is_file():
                return path
        raise RunError(
            f'run "{self.path}" holds no weights yet',
            f"finish its training: binarize train --resume {self.path}",
        )

    @property
    def float_weights(self) -> Path:
        """The safetensors file of the float model behind it: the weights of its float parent; its own latent
        weights where it was not fitted to one. Raises RunError where the parent was not kept."""
        if (self.path / PARENT).is_file():
            return self.path / PARENT
        if self.info.fit is None:
            return self.weights
        raise RunError(
            f'run "{self.path}" was fitted to a float model, whose weights it does not keep',
            "convert the float model again, without --no-keep-float",
        )

    @property
    def summary(self) -> dict[str, Any]:
        """The layer table and its totals: {"layers": [...], "totals": {...}}. Raises RunError."""
        try:
            return SummaryRecord.from_data(self.read_json(SUMMARY)).to_json()
        except InvalidRecord as problem:
            raise RunError(f'"{self.path / SUMMARY}" is damaged: {problem}', REMAKE) from problem

    @property
    def sensitivity(self) -> Sensitivities | None:
        """What each layer costs when it alone is binary; None where nobody measured it. Raises RunError."""
        file = self.path / SENSITIVITY
        if not file.is_file():
            return None
        try:
            return Sensitivities.from_data(self.read_json(SENSITIVITY))
        except InvalidRecord as problem:
            raise RunError(
                f'"{file}" is damaged: {problem}',
                "remove it, or measure again: binarize sensitivity RUN",
            ) from problem

    @property
    def answers(self) -> Answers | None:
        """Which classes it takes for which; None where that was not kept. Raises RunError."""
        file = self.path / ANSWERS
        if not file.is_file():
            return None
        try:
            return Answers.from_data(self.read_json(ANSWERS))
        except InvalidRecord as problem:
            raise RunError(f'"{file}" is damaged: {problem}', "remove it") from problem

    def read_json(self, name: str) -> Any:
        """The content of one of the run's JSON files. Raises RunError where it is missing or damaged."""
        try:
            return parse_json(read_file(self.path / name))
        except (OSError, InvalidRecord) as problem:
            raise RunError(f'"{self.path / name}" is missing or damaged', REMAKE) from problem


def is_run(path: Path) -> bool:
    return (path / INFO).is_file()


def is_checkpoint(path: Path) -> bool:
    """Whether `path` is named like a checkpoint of a run (RUN/best, RUN/last)."""
    return path.name in CHECKPOINTS


def run_of(path: Path) -> Path:
    """The directory of the run that `path` means: itself, or where it is a checkpoint of."""
    return path.parent if is_checkpoint(path) else path


def open_run(path: str | Path) -> Run:
    """The run at `path`. Raises RunError where there is none."""
    path = Path(path)
    if not is_run(path):
        what = f"is not a run (it has no {INFO})" if path.exists() else "does not exist"
        raise RunError(f'"{path}" {what}', "binarize convert MODEL makes a run under runs/")
    return Run(path)


def locate(target: Run | str | Path) -> tuple[Run, Path]:
    """The run and the weights file that `target` means: a run, or one of its checkpoint directories."""
    if isinstance(target, Run):
        return target, target.weights
    path = Path(target)
    if is_checkpoint(path) and (path / WEIGHTS).is_file():
        return open_run(path.parent), path / WEIGHTS
    run = open_run(path)
    return run, run.weights


def newest_run(root: Path = ROOT, skipped: Callable[[str], None] = lambda _: None) -> Run:
    """The run under `root` that was made last; one that cannot be read is passed over, and `skipped` is told.

    Raises RunError where there is none.
    """
    found: list[tuple[float, Run]] = []
    # A name that begins with a dot is half a run, left behind by a process that was killed.
    for entry in sorted(root.glob(f"[!.]*/{INFO}")):
        run = Run(entry.parent)
        try:
            found.append((run.info.created, run))
        except RunError as problem:
            skipped(f"passed over a run that cannot be read: {problem.message}")
    if not found:
        raise RunError(f"there is no run under {root}/ yet", "make one: binarize convert resnet18")
    return max(found, key=lambda one: one[0])[1]


def write_info(path: Path, info: RunInfo) -> None:
    """Write run.json, which makes `path` a run: write it after everything else."""
    write_json(path / INFO, info.to_json())


def _words(problem: Exception) -> str:
    return str(problem) if isinstance(problem, InvalidRecord) else "cannot be read"
