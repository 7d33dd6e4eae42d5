"""Sweeps for tests: a tiny recipe, trials that are finished without training, and a stand-in for `train`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from binarize.comparing.sweep import Sweep, Trial
from binarize.comparing.trial import Record, write_record
from binarize.progress import Progress
from binarize.recipe import Recipe, dump, load
from binarize.run.tables import METRICS
from binarize.training import TrainResult

CONTENTS: dict[str, Any] = {
    "model": {"name": "cifar_resnet20", "pretrained": False, "kwargs": {"blocks": 1}},
    "binarize": {"estimator": {"name": "ab-tanh", "k_end": 6}},
    "data": {"name": "digits", "img_size": 8, "batch_size": 256, "workers": 0, "cache": True},
    "stages": [{"epochs": 2, "optimizer": {"name": "momentum", "lr": 0.05}}],
    "engine": {"threads": 1},
}


def recipe_file(folder: Path, **sections: Any) -> str:
    path = folder / "tiny.yaml"
    path.write_text(dump(load({**CONTENTS, **sections})))
    return str(path)


def rows(columns: Mapping[str, Iterable[float]]) -> list[dict[str, Any]]:
    """Lines of metrics.csv from its columns; the epochs count from 1."""
    lines = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return [{"epoch": number, **line} for number, line in enumerate(lines, start=1)]


def write_metrics(run: Path, lines: list[dict[str, Any]]) -> None:
    run.mkdir(parents=True, exist_ok=True)
    assert {name for line in lines for name in line} <= set(METRICS.columns)
    METRICS.append(run, lines)


def finish(
    sweep: Sweep, trial: Trial, top1: float, lines: list[dict[str, Any]], best: float = 0
) -> None:
    """Make `trial` look like one that has been trained."""
    run = sweep.run(trial)
    write_metrics(run, lines)
    (run / "env.json").write_text(json.dumps({"versions": {"torch": "9.9"}, "machine": {}}))
    result = {"run": f"cells/{trial.name}", "top1": top1, "top1_best": best, "epochs": len(lines)}
    write_record(sweep, trial, Record(trial.variant.name, trial.seed, {**result, "seconds": 1.0}))


class Trainings:
    """Stands for `binarize.training.train`: remembers how it was called, and does what `fails` says.

    `fails`: {(estimator, seed): exception}; "float" is the variant without binary weights.
    """

    def __init__(self, fails: Mapping[tuple[str, int], BaseException] | None = None) -> None:
        self.fails = dict(fails or {})
        self.calls: list[tuple[str, int, Any]] = []
        self.tell: Callable[[Progress], None] = lambda _: None

    def __call__(
        self,
        recipe: Recipe | None = None,
        target: Any = None,
        *,
        data_dir: Path | None = None,
        out: Path | None = None,
        resume: Path | None = None,
        progress: Progress | None = None,
    ) -> TrainResult:
        path = out or resume
        assert path is not None
        recipe = recipe or load(path / "recipe.resolved.yaml")
        variant = "float" if recipe.binarize.keep == ["*"] else recipe.binarize.estimator.name
        self.calls.append((variant, recipe.seed, "resumed" if resume else "new"))
        path.mkdir(parents=True, exist_ok=True)
        (path / "run.json").write_text("{}")
        (path / "recipe.resolved.yaml").write_text(dump(recipe))
        self.tell(progress or Progress())
        problem = self.fails.pop((variant, recipe.seed), None)
        if problem is not None:
            raise problem
        top1 = (90.0 if variant == "float" else 80.0) + recipe.seed
        write_metrics(path, rows({"test_top1": [top1 - 1, top1], "seconds": [2, 2]}))
        return TrainResult(str(path), 2, top1, 99.0, top1, 2, None, 4.0)
