"""What there is to say of one run: read from its files, without building the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from binarize.errors import RunError
from binarize.recipe import Recipe, load
from binarize.run import (
    Answers,
    EstimatorSpec,
    Run,
    RunInfo,
    Sensitivities,
    layout,
    open_run,
    tables,
)
from binarize.run.tables import AGREEMENT, TEST, TOP1, VAL, Row, last, number, scored, series


@dataclass(frozen=True)
class Facts:
    """One run. What a run that was only converted does not have is None or empty."""

    run: Run

    @cached_property
    def info(self) -> RunInfo:
        return self.run.info

    @cached_property
    def recipe(self) -> Recipe | None:
        path = self.run.path / layout.RECIPE
        return load(path) if path.is_file() else None

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        return tables.METRICS.read(self.run.path)

    @cached_property
    def baseline(self) -> list[dict[str, str]]:
        """The lines of the float baseline."""
        return tables.METRICS.read(self.run.path / layout.BASELINE)

    @property
    def sensitivity(self) -> Sensitivities | None:
        """What each layer costs when it alone is binary; None where that was not measured or is damaged."""
        try:
            return self.run.sensitivity
        except RunError:
            return None

    @property
    def answers(self) -> Answers | None:
        """Which classes it takes for which; None where that was not kept or is damaged."""
        try:
            return self.run.answers
        except RunError:
            return None

    def damage(self) -> list[str]:
        """What cannot be read of its tables, a sentence for each."""
        paths = (self.run.path, self.run.path / layout.BASELINE)
        files = [
            table.damage(path) for path in paths for table in (tables.METRICS, tables.INDICATORS)
        ]
        for read in (lambda: self.run.sensitivity, lambda: self.run.answers):
            try:
                read()
            except RunError as problem:
                files.append(problem.message)
        return [f"{sentence}: the report goes without" for sentence in files if sentence]

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The layer table and its totals. Raises RunError where they are missing or damaged."""
        return self.run.summary

    @property
    def model(self) -> str:
        return self.info.model.title

    @property
    def binary(self) -> bool:
        """Whether any weight is binary."""
        return self.info.binary

    @property
    def finished(self) -> bool:
        """Whether its training has come to the end, when the weights that it began with are removed."""
        return bool(self.rows) and not (self.run.path / layout.INITIAL).exists()

    @property
    def held_out(self) -> bool:
        """Whether each epoch was scored on training images set aside."""
        return bool(series(self.rows, scored(VAL, TOP1)))

    def estimators(self) -> list[EstimatorSpec]:
        """Every estimator that is used, the main one first."""
        conversion = self.info.conversion
        if conversion is None or not self.binary:
            return []
        found = [conversion.estimator, *(one.estimator for one in conversion.layers)]
        for stage in self.recipe.stages if self.recipe else ():
            found.append(stage.estimator.spec if stage.estimator else None)
        known = [one for one in found if one is not None]
        return [each for number, each in enumerate(known) if each not in known[:number]]

    def figures(self) -> dict[str, Any]:
        """The JSON of `binarize report`; accuracies in per cent."""
        return {
            "run": str(self.run.path),
            "model": self.model,
            "weights": self.info.weights,
            "random": self.info.random,
            "estimators": [each.to_json() for each in self.estimators()],
            "data": self.info.data.name,
            "epochs": len(self.rows),
            "finished": self.finished,
            "test": score(self.rows, "test"),
            "best": best_epoch(self.rows, scored(VAL if self.held_out else TEST, TOP1), "top1"),
            "best_on": "held-out images" if self.held_out else "test images",
            "float": score(self.baseline, "test") if self.baseline else None,
            "agreement": last(self.rows, AGREEMENT),
            "agreement_best": best_epoch(self.rows, AGREEMENT, AGREEMENT),
            "seconds": sum(series(self.rows, tables.SECONDS).values()) or None,
            "indicators": {name: last(self.rows, name) for name in tables.OF_MODEL},
            "fit": self.info.fit.to_json() if self.info.fit else None,
            "totals": self.summary["totals"],
            "answers": self.answers.figures() if self.answers else None,
            "layers": self.layers(),
        }

    def layers(self) -> list[dict[str, Any]]:
        """The layer table of summary.json, each with its indicators of the last epoch that has any."""
        measured = last_of_each(tables.INDICATORS.read(self.run.path))
        return [
            {**layer, "indicators": measured.get(layer["name"], {})}
            for layer in self.summary["layers"]
        ]


def facts_of(path: Path) -> Facts:
    """The facts of the run at `path`. Raises RunError where there is none."""
    return Facts(open_run(path))


def score(rows: Sequence[Row], images: str) -> dict[str, float | None]:
    """Loss, top-1 and top-5 of the last epoch on "test" or "val" images."""
    return {name: last(rows, f"{images}_{name}") for name in ("loss", "top1", "top5")}


def best_epoch(rows: Sequence[Row], column: str, name: str) -> dict[str, float] | None:
    """Number and score of the epoch that is best by a column; the score is called `name`."""
    scores = series(rows, column)
    if not scores:
        return None
    epoch = max(scores, key=lambda epoch: scores[epoch])
    return {"epoch": epoch, name: scores[epoch]}


def last_of_each(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """{layer: {indicator: its last number}} of the lines of an indicators.csv."""
    found: dict[str, dict[str, float]] = {}
    for row in sorted(rows, key=lambda row: number(row, tables.EPOCH) or -math.inf):
        numbers = ((name, number(row, name)) for name in tables.OF_LAYER)
        known = {name: value for name, value in numbers if value is not None}
        found.setdefault(row.get(tables.LAYER, ""), {}).update(known)
    return found
