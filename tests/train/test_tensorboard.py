"""What is written for TensorBoard, read back by TensorBoard's own reader."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import train_toys as toys

from binarize.errors import TrainingError
from binarize.training.tensorboard import TensorBoard, points

ROW: dict[str, Any] = {
    "epoch": 1,
    "stage": "weights",
    "step": 30,
    "lr": 0.05,
    "train_loss": 2.25,
    "train_top1": "",
    "val_top1": 40.5,
    "test_top5": None,
    "flip_ratio": 0.125,
    "saturated": 0,
}
LAYERS = [
    {"layer": "layer1.0.conv1", "flip_ratio": 0.25, "saturation": None},
    {"layer": "layer1.0.conv2", "flip_ratio": 0.0, "saturation": 0.75},
]
TAGS = {
    "run/epoch": 1.0,
    "run/lr": 0.05,
    "train/loss": 2.25,
    "val/top1": 40.5,
    "indicators/flip_ratio": 0.125,
    "run/saturated": 0.0,
    "flip_ratio/layer1.0.conv1": 0.25,
    "flip_ratio/layer1.0.conv2": 0.0,
    "saturation/layer1.0.conv2": 0.75,
}


def read(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (step, value) of its points, as TensorBoard shows them."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in tags}


def write(run: Path, after: int, *losses: float) -> None:
    """One point every ten steps, from `after` on."""
    board = TensorBoard(run, after)
    for number, loss in enumerate(losses, 1):
        board.add({"step": after + 10 * number, "train_loss": loss})
    board.close()


def test_numbers_have_a_tag_and_all_else_is_left_out() -> None:
    assert dict(points(ROW, LAYERS)) == TAGS


def test_the_event_file_says_what_the_row_and_the_layers_say(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    board = TensorBoard(tmp_path)
    board.add(ROW, LAYERS)
    board.close()
    found = read(tmp_path)
    assert found == {tag: [(30, pytest.approx(value))] for tag, value in TAGS.items()}


def test_an_epoch_is_on_disk_before_the_next_one_starts(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    board = TensorBoard(tmp_path)
    board.add(ROW)
    found = read(tmp_path)
    board.close()
    assert found["train/loss"] == [(30, 2.25)]


def test_a_resumed_training_has_no_step_twice(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    write(tmp_path, 0, 4.0, 3.0, 2.5)
    write(tmp_path, 20, 2.0, 1.0)
    assert read(tmp_path)["train/loss"] == [(10, 4.0), (20, 3.0), (30, 2.0), (40, 1.0)]


def test_a_training_that_starts_over_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    write(tmp_path, 0, 4.0, 3.0)
    write(tmp_path, 0, 5.0)
    assert read(tmp_path)["train/loss"] == [(10, 5.0)]


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(TrainingError, match="tensorboard is not installed") as caught:
        TensorBoard(tmp_path)
    assert caught.value.hint == 'pip install "binarize[tensorboard]"'
    assert not list(tmp_path.iterdir())


def test_an_error_closes_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    closed = []
    original = TensorBoard.close

    def close(board: TensorBoard) -> None:
        closed.append(board)
        original(board)

    monkeypatch.setattr(TensorBoard, "close", close)
    with pytest.raises(toys.Killed):
        toys.train(toys.recipe(engine={"tensorboard": True}), tmp_path, toys.KillAt(2, "step"))
    assert len(closed) == 1
    assert [step for step, _ in read(tmp_path)["train/loss"]] == [6]
