"""Train one trial of a sweep: once, from where it is, with what came out written beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from binarize.comparing.sweep import Sweep, Trial
from binarize.errors import BinarizeError, DataError, RecipeError, RunBusyError
from binarize.progress import Progress
from binarize.run import InvalidRecord, is_run, write_json
from binarize.run.files import read_file
from binarize.run.lock import held
from binarize.run.record import checked, parse_json
from binarize.training import train

ALIKE_EVERYWHERE = (DataError, RecipeError, OSError)
"""What is wrong with one trial in these ways is wrong with all of them: the sweep stops."""


Count = Annotated[int, Field(ge=0)]
PerCent = Annotated[float, Field(ge=-1, le=100)]
"""-1: of no epoch."""


class Result(TypedDict):
    """The JSON of `binarize train`."""

    run: str
    epochs: Count
    top1: PerCent
    top5: NotRequired[PerCent]
    top1_best: PerCent
    epoch_best: NotRequired[Count]
    top1_float: NotRequired[PerCent]
    seconds: Annotated[float, Field(ge=0, le=1e12)]


@dataclass(frozen=True)
class Record:
    """What came of a trial: a result or an error with its hint."""

    arm: str
    seed: int
    result: Result | None = None
    error: str | None = None
    hint: str = ""

    @property
    def failed(self) -> bool:
        return self.error is not None

    @property
    def sentence(self) -> str:
        """What is said of a trial that has ended."""
        name = f"{self.arm}, seed {self.seed}"
        if self.result is None:
            return f"{name}: failed, {self.error}"
        outcome = f"top-1 {self.result['top1']:.2f} % after {self.result['epochs']} epochs"
        return f"{name}: {outcome} ({self.result['seconds']:.0f} s)"


def read_record(sweep: Sweep, trial: Trial) -> Record | None:
    """What is known of a trial; None before its end, and where the file is damaged."""
    path = sweep.beside(trial, ".json")
    try:
        return checked(Record, parse_json(read_file(path)))
    except (OSError, InvalidRecord):
        return None


def write_record(sweep: Sweep, trial: Trial, record: Record) -> None:
    write_json(sweep.beside(trial, ".json"), asdict(record))


def is_finished(sweep: Sweep, trial: Trial) -> bool:
    """Whether there is nothing left to train. A trial that failed is tried again."""
    record = read_record(sweep, trial)
    return record is not None and not record.failed


def run_trial(
    sweep: Sweep, trial: Trial, data_dir: Path | None = None, progress: Progress | None = None
) -> Record | None:
    """Train a trial to its end and write its record; None where another process is running it.

    Raises what would go wrong in every trial (`ALIKE_EVERYWHERE`), and KeyboardInterrupt; the trial stays
    resumable.
    """
    with held(sweep.lock(trial)) as alone:
        if not alone:
            return None
        if is_finished(sweep, trial):  # another process did it in the meantime
            return read_record(sweep, trial)
        try:
            record = _train(sweep, trial, data_dir, progress)
        except RunBusyError:  # by `binarize train --resume`, which knows of no sweep
            return None
        write_record(sweep, trial, record)
        return record


def _train(sweep: Sweep, trial: Trial, data_dir: Path | None, progress: Progress | None) -> Record:
    path = sweep.run(trial)
    try:
        if is_run(path):
            result = train(resume=path, data_dir=data_dir, progress=progress)
        else:
            recipe, target = sweep.recipe(trial), sweep.manifest.target
            result = train(recipe, target, data_dir=data_dir, out=path, progress=progress)
    except (*ALIKE_EVERYWHERE, RunBusyError):
        raise
    except BinarizeError as error:
        return Record(trial.variant.name, trial.seed, None, error.message, error.hint)
    except Exception as error:
        words = " ".join(str(error).split()) or "no message"
        return Record(
            trial.variant.name, trial.seed, None, f"unexpected {type(error).__name__}: {words}"
        )
    outcome: Any = {**result.as_json(), "run": f"cells/{trial.name}"}
    return Record(trial.variant.name, trial.seed, outcome)
