"""What there is to say of one run: read from its files, without building the model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from binarize.errors import RunError
from binarize.recipe import Recipe, load
from binarize.report.rows import INDICATORS, Row, last, number, read_rows, series
from binarize.run import Run, RunInfo, is_run

RECIPE = "recipe.resolved.yaml"
METRICS = "metrics.csv"
LAYER_INDICATORS = (
    "estimating_error",
    "gradient_stability",
    "flip_ratio",
    "dead_weights",
    "saturation",
)
"""The columns of indicators.csv."""


@dataclass(frozen=True)
class Facts:
    """One run. What a run that was only converted does not have is None or empty."""

    run: Run

    @cached_property
    def info(self) -> RunInfo:
        return self.run.info

    @cached_property
    def recipe(self) -> Recipe | None:
        path = self.run.path / RECIPE
        return load(path) if path.is_file() else None

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        return read_rows(self.run.path / METRICS)

    @cached_property
    def twin(self) -> list[dict[str, str]]:
        """The lines of the float twin."""
        return read_rows(self.run.path / "twin" / METRICS)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """summary.json. Raises RunError where it is missing or damaged."""
        summary = self.run.read_json("summary.json")
        if not isinstance(summary, dict) or not {"layers", "totals"} <= summary.keys():
            raise RunError(
                f'"{self.run.path / "summary.json"}" is damaged',
                "make the run again: binarize convert MODEL",
            )
        return summary

    @property
    def model(self) -> str:
        return f"{self.info.model['library']}/{self.info.model['name']}"

    @property
    def binary(self) -> bool:
        """Whether any weight is binary."""
        return bool(self.info.conversion and self.info.conversion["parameters"])

    @property
    def finished(self) -> bool:
        """Whether its training has come to the end, when the weights that it began with are removed."""
        return bool(self.rows) and not (self.run.path / "initial").exists()

    @property
    def held_out(self) -> bool:
        """Whether each epoch was scored on training images set aside."""
        return bool(series(self.rows, "val_top1"))

    def estimators(self) -> list[dict[str, Any]]:
        """Every estimator that is used, as {"name", constant: value}, the main one first."""
        if not self.binary:
            return []
        found = [_named(self.info.conversion["estimator"])]
        for place in (*self._layer_choices(), *(self.recipe.stages if self.recipe else ())):
            if place.estimator is not None:
                found.append({"name": place.estimator.name, **place.estimator.constants})
        return [each for number, each in enumerate(found) if each not in found[:number]]

    def figures(self) -> dict[str, Any]:
        """The JSON of `binarize report`; accuracies in per cent."""
        return {
            "run": str(self.run.path),
            "model": self.model,
            "weights": self.info.weights,
            "estimators": self.estimators(),
            "data": self.info.data.get("name"),
            "epochs": len(self.rows),
            "finished": self.finished,
            "test": score(self.rows, "test"),
            "best": best_epoch(self.rows, "val" if self.held_out else "test"),
            "best_on": "held-out images" if self.held_out else "test images",
            "float": score(self.twin, "test") if self.twin else None,
            "seconds": sum(series(self.rows, "seconds").values()) or None,
            "indicators": {name: last(self.rows, name) for name in INDICATORS},
            "totals": self.summary["totals"],
            "layers": self.layers(),
        }

    def layers(self) -> list[dict[str, Any]]:
        """The layer table of summary.json, each with its indicators of the last epoch that has any."""
        measured = last_of_each(read_rows(self.run.path / "indicators.csv"))
        return [
            {**layer, "indicators": measured.get(layer["name"], {})}
            for layer in self.summary["layers"]
        ]

    def _layer_choices(self) -> Sequence[Any]:
        return self.recipe.binarize.layers if self.recipe and self.recipe.binarize else ()


def facts_of(path: Path) -> Facts:
    """The facts of the run at `path`. Raises RunError where there is none."""
    if not is_run(path):
        what = "is not a run (it has no run.json)" if path.exists() else "does not exist"
        raise RunError(f'"{path}" {what}', "binarize convert MODEL makes a run under runs/")
    return Facts(Run(path))


def score(rows: Sequence[Row], images: str) -> dict[str, float | None]:
    """Loss, top-1 and top-5 of the last epoch on "test" or "val" images."""
    return {name: last(rows, f"{images}_{name}") for name in ("loss", "top1", "top5")}


def best_epoch(rows: Sequence[Row], images: str) -> dict[str, float] | None:
    """Epoch and top-1 of the best one on these images."""
    scores = series(rows, f"{images}_top1")
    if not scores:
        return None
    epoch = max(scores, key=lambda epoch: scores[epoch])
    return {"epoch": epoch, "top1": scores[epoch]}


def last_of_each(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """{layer: {indicator: its last number}} of the lines of an indicators.csv."""
    found: dict[str, dict[str, float]] = {}
    for row in sorted(rows, key=lambda row: number(row, "epoch") or -math.inf):
        numbers = ((name, number(row, name)) for name in LAYER_INDICATORS)
        known = {name: value for name, value in numbers if value is not None}
        found.setdefault(row.get("layer", ""), {}).update(known)
    return found


def _named(estimator: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"name": estimator} if isinstance(estimator, str) else dict(estimator)
