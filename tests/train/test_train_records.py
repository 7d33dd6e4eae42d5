"""What a training writes down, made from how far it is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import train_toys as toys

from binarize.run import tables
from binarize.training import records
from binarize.training.plan import build_schedule
from binarize.training.training_state import TrainingState

LAYERS = [{"layer": "a", "flip_ratio": 0.5}, {"layer": "b", "flip_ratio": 0.25}]


def made(run: Path, epochs: int, main: bool = True, **more: Any) -> records.Records:
    """The records of a training of three epochs of six steps, so many of which are done."""
    recipe = toys.recipe({**toys.STAGE, "epochs": 3}, **more.pop("sections", {}))
    accelerator: Any = SimpleNamespace(is_main_process=main)
    plan = build_schedule(recipe.stages, 6)
    return records.Records(run, recipe, accelerator, TrainingState(epochs=epochs), plan, **more)


def write(run: Path, epochs: int) -> None:
    with made(run, 0) as kept:
        for epoch in range(1, epochs + 1):
            kept.add({"epoch": epoch, "step": 6 * epoch}, LAYERS)


def test_an_epoch_is_a_line_and_one_of_each_layer(tmp_path):
    write(tmp_path, 2)
    assert [row["epoch"] for row in tables.METRICS.read(tmp_path)] == ["1", "2"]
    lines = [(row["epoch"], row["layer"]) for row in tables.INDICATORS.read(tmp_path)]
    assert lines == [("1", "a"), ("1", "b"), ("2", "a"), ("2", "b")]


def test_without_binary_layers_there_are_no_indicators(tmp_path):
    with made(tmp_path, 0) as kept:
        kept.add({"epoch": 1, "step": 6}, [])
    assert not (tmp_path / "indicators.csv").exists()


def test_epochs_that_the_checkpoint_does_not_know_are_dropped_from_both(tmp_path):
    write(tmp_path, 3)
    assert [row["epoch"] for row in made(tmp_path, 2).rows] == ["1", "2"]
    assert {row["epoch"] for row in tables.METRICS.read(tmp_path)} == {"1", "2"}
    assert {row["epoch"] for row in tables.INDICATORS.read(tmp_path)} == {"1", "2"}


@pytest.mark.parametrize("name", ["metrics.csv", "indicators.csv"])
def test_damage_is_said_and_set_aside(tmp_path, name):
    write(tmp_path, 2)
    with (tmp_path / name).open("a") as file:
        file.write("half a li")
    said: list[str] = []
    made(tmp_path, 2, say=said.append)
    assert len(said) == 1
    assert "cannot be read" in said[0]
    assert (tmp_path / f"{name}.damaged").is_file()


def test_another_process_changes_nothing(tmp_path):
    write(tmp_path, 3)
    before = (tmp_path / "metrics.csv").read_text()
    assert len(made(tmp_path, 1, main=False).rows) == 3
    assert (tmp_path / "metrics.csv").read_text() == before


def test_tensorboard_begins_after_the_steps_that_are_done_and_is_closed(tmp_path, monkeypatch):
    told: list[Any] = []

    class Board:
        def __init__(self, run: Path, step: int) -> None:
            told.append((run, step))

        def add(self, row: Any, layers: Any) -> None:
            told.append((row["epoch"], len(layers)))

        def close(self) -> None:
            told.append("closed")

    monkeypatch.setattr(records, "TensorBoard", Board)
    with made(tmp_path, 2, sections={"engine": {"tensorboard": True}}) as kept:
        kept.add({"epoch": 3, "step": 18}, LAYERS)
    assert told == [(tmp_path, 12), (3, 2), "closed"]
