from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch

from binarize.errors import CheckpointError
from binarize.training import checkpoint
from binarize.training.checkpoint import Checkpoint


def example(number: float) -> Checkpoint:
    weights = {"a": torch.full((2, 3), number), "b": torch.tensor(number)}
    raw = {"a": torch.full((2, 3), -number), "b": torch.tensor(0.0)}
    optimizer = {"state": {0: {"momentum": torch.full((2, 3), number / 2)}}, "param_groups": []}
    return Checkpoint(weights, raw, optimizer, {"epochs": number})


def number_of(last: Path) -> float:
    """Which `example` is there, all its files agreeing."""
    found = checkpoint.load(last)
    number = found.state["epochs"]
    assert torch.equal(found.weights["a"], torch.full((2, 3), number))
    assert torch.equal(found.raw["a"], torch.full((2, 3), -number))
    assert torch.equal(found.optimizer["state"][0]["momentum"], torch.full((2, 3), number / 2))
    return number


@pytest.fixture
def last(tmp_path):
    checkpoint.save(tmp_path / "last", example(1.0))
    return tmp_path / "last"


def test_it_comes_back_and_the_next_one_replaces_it(last):
    assert number_of(last) == 1.0
    checkpoint.save(last, example(2.0))
    assert number_of(last) == 2.0
    assert [path.name for path in last.parent.iterdir()] == ["last"]


def test_without_averaging_and_at_the_end_of_a_stage_there_is_less(tmp_path):
    checkpoint.save(tmp_path / "last", Checkpoint({"a": torch.ones(1)}, None, None, {}))
    found = checkpoint.load(tmp_path / "last")
    assert (found.raw, found.optimizer) == (None, None)


@pytest.mark.parametrize("when", [1, 2, 3, 4, 5])  # three files, two directories
def test_killed_at_any_rename_the_next_start_finds_a_whole_one(last, monkeypatch, when):
    original, calls = Path.replace, []

    def killed(self, target):
        calls.append(target)
        if len(calls) == when:
            raise KeyboardInterrupt
        return original(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(last, example(2.0))
    monkeypatch.undo()
    checkpoint.recover(last.parent)
    assert number_of(last) == 1.0
    assert [path.name for path in last.parent.iterdir()] == ["last"]


def test_recover_sweeps_up_half_written_files_and_leaves_the_rest(last):
    run = last.parent
    (run / "best").mkdir()
    for name in (".metrics.csv.x1______.part", "best/.model.safetensors.x2______.part", "keep.txt"):
        (run / name).write_text("half")
    checkpoint.recover(run)
    assert {path.name for path in run.rglob("*") if path.is_file()} == {
        "keep.txt",
        "model.safetensors",
        "training.safetensors",
        "training.json",
    }


def test_a_full_disk_leaves_the_old_one(last, monkeypatch):
    def full(*_args, **_more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(last, example(2.0))
    assert number_of(last) == 1.0
    assert [path.name for path in last.parent.iterdir()] == ["last"]


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors", "training.json"])
def test_a_truncated_file_is_noticed(last, name):
    content = (last / name).read_bytes()
    (last / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="missing or damaged") as caught:
        checkpoint.load(last)
    assert "resume again" in caught.value.hint


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors"])
def test_one_altered_bit_is_noticed(last, name):
    content = bytearray((last / name).read_bytes())
    content[-1] ^= 1
    (last / name).write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="missing or damaged"):
        checkpoint.load(last)


@pytest.mark.parametrize("text", ["[]", "{}", '{"files": 3}', '{"files": {}}'])
def test_other_json_is_noticed(last, text):
    (last / "training.json").write_text(text)
    with pytest.raises(CheckpointError, match="missing or damaged"):
        checkpoint.load(last)


def test_no_file_of_it_holds_a_pickle(last):
    for path in last.iterdir():
        content = path.read_bytes()
        assert not content.startswith((b"PK", b"\x80"))
    json.loads((last / "training.json").read_text())
