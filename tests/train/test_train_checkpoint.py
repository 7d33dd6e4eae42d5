from __future__ import annotations

import errno
import json
import math
import os
import shutil
import zlib
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from binarize.errors import CheckpointError
from binarize.training import checkpoint, train
from binarize.training.checkpoint import Checkpoint
from binarize.training.tensor_tree import portable
from binarize.training.training_state import TrainingState


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


def test_a_run_that_is_removed_meanwhile_does_not_hide_why_it_was_not_written(last, monkeypatch):
    def removed(part, _):
        part.rmdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "_write", removed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(last, example(2.0))
    assert number_of(last) == 1.0


def test_a_device_without_memory_is_no_damage(last):
    with pytest.raises(torch.OutOfMemoryError), checkpoint.fits(last):
        raise torch.OutOfMemoryError("full")
    with pytest.raises(CheckpointError, match="does not fit"), checkpoint.fits(last):
        raise RuntimeError("sizes differ")


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


@pytest.mark.parametrize("text", ["[]", "{}", '{"files": 3}', '{"files": {}}', "[" * 100_000])
def test_other_json_is_noticed(last, text):
    (last / "training.json").write_text(text)
    with pytest.raises(CheckpointError, match="missing or damaged"):
        checkpoint.load(last)


def test_it_names_no_files_to_read(last, tmp_path):
    """What is beside it is checked; a file that training.json names is never opened."""
    path = last / "training.json"
    scalars = json.loads(path.read_text())
    other = tmp_path / "other"
    os.mkfifo(other)  # opening it would wait
    scalars["files"][str(other)] = {"bytes": 0, "crc32": 0}
    path.write_text(json.dumps(scalars))
    assert number_of(last) == 1.0


def test_a_file_of_another_size_is_not_read(last, monkeypatch):
    """It may be a terabyte."""
    read, fingerprint = [], checkpoint._fingerprint
    monkeypatch.setattr(
        checkpoint, "_fingerprint", lambda path: read.append(path.name) or fingerprint(path)
    )
    with (last / "training.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(CheckpointError, match=r'training.safetensors" is missing or damaged'):
        checkpoint.load(last)
    assert read == ["model.safetensors"]


@pytest.mark.parametrize("missing", ["place", "optimizer"])
def test_a_part_that_is_missing_is_noticed(last, missing):
    path = last / "training.json"
    scalars = json.loads(path.read_text())
    del scalars[missing]
    path.write_text(json.dumps(scalars))
    with pytest.raises(CheckpointError, match=r'training.json" is missing or damaged'):
        checkpoint.load(last)


@pytest.mark.parametrize(
    "change",
    [
        *({"epochs": "2"}, {"epochs": -1}, {"per_epoch": None}, {"top1": []}, {"top5": math.nan}),
        *({"best_epoch": 1 << 31}, {"best_epoch": 1 << 70}, {"seconds": {}}),
    ],
)
def test_how_far_it_is_is_checked(change, tmp_path):
    place = {**asdict(TrainingState(epochs=0, per_epoch=(1 << 31) - 1)), "scaler": {}}
    assert TrainingState.of(place, tmp_path).per_epoch == (1 << 31) - 1
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        TrainingState.of({**place, **change}, tmp_path)


def group(scalars):
    return scalars["optimizer"]["dict"][1][1][0]["dict"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda scalars: scalars.update(optimizer=3), "does not fit"),
        (lambda scalars: group(scalars).clear(), "does not fit"),
        (lambda scalars: [pair.__setitem__(1, "x") for pair in group(scalars)], "does not fit"),
        (lambda scalars: scalars["place"].update(epochs=9), "says that 9 of 4 epochs"),
        (
            lambda scalars: [
                pair.__setitem__(1, {"dict": [["momentum_buffer", {"tensor": "0"}]]})
                for pair in scalars["optimizer"]["dict"][0][1]["dict"]
            ],
            "does not fit",
        ),
    ],
    ids=["no optimiser", "no settings", "words", "epochs", "tensors of another shape"],
)
def test_a_state_of_something_else_is_one_sentence(spoil, words, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(Path(__file__).parents[1] / "run" / "v0.1.0" / "interrupted", run)
    path = run / "last" / "training.json"
    scalars = json.loads(path.read_text())
    spoil(scalars)
    path.write_text(json.dumps(scalars))
    with pytest.raises(CheckpointError, match=f'/last" .*{words}'):
        train(resume=run)


def test_no_file_of_it_holds_a_pickle(last):
    for path in last.iterdir():
        content = path.read_bytes()
        assert not content.startswith((b"PK", b"\x80"))
    json.loads((last / "training.json").read_text())


def test_the_list_of_files_has_their_sizes_and_crcs(last):
    """As zlib's, so that a tool of another make can check them; more than a block of them too."""
    many = {"a": torch.arange(300_000.0)}
    checkpoint.save(last, Checkpoint(many, None, None, {}))
    listed = json.loads((last / "training.json").read_text())["files"]
    assert set(listed) == {"model.safetensors", "training.safetensors"}
    for name, found in listed.items():
        content = (last / name).read_bytes()
        assert found == {"bytes": len(content), "crc32": zlib.crc32(content)}


def test_what_a_killed_one_left_is_no_obstacle_to_the_next(last):
    for name in (".last.part", ".last.old"):
        (last.parent / name).mkdir()
        (last.parent / name / "half").write_text("half")
    (last.parent / ".last.old" / "half").unlink()
    checkpoint.save(last, example(2.0))
    assert number_of(last) == 2.0
    assert [path.name for path in last.parent.iterdir()] == ["last"]


def test_of_an_old_and_a_new_one_the_new_one_stays(last):
    """Killed after the second rename."""
    shutil.copytree(last, last.parent / ".last.old")
    checkpoint.save(last.parent / "other", example(2.0))
    shutil.rmtree(last)
    (last.parent / "other").rename(last)
    checkpoint.recover(last.parent)
    assert number_of(last) == 2.0
    assert [path.name for path in last.parent.iterdir()] == ["last"]


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors"])
def test_a_missing_file_is_noticed_and_a_directory_in_its_place(last, name):
    (last / name).unlink()
    for _ in range(2):
        with pytest.raises(CheckpointError, match=f'{name}" is missing or damaged'):
            checkpoint.check(last)
        (last / name).mkdir(exist_ok=True)


def test_directories_above_it_are_made(tmp_path):
    checkpoint.save(tmp_path / "a" / "b" / "last", example(1.0))
    assert number_of(tmp_path / "a" / "b" / "last") == 1.0


def test_what_it_holds_does_not_change_with_the_model(tmp_path):
    """The tensors are copies, on the CPU, whatever their layout was."""
    image = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    raw = {"a": image, "b": image[:, :1]}
    checkpoint.save(
        tmp_path / "last", Checkpoint({"a": image}, raw, {"state": image[:, :, 0].mT}, {})
    )
    found = checkpoint.load(tmp_path / "last")
    assert torch.equal(found.raw["b"], image[:, :1])
    assert torch.equal(found.optimizer["state"], image[:, :, 0].mT)
    copy = portable(image)
    assert copy.is_contiguous()
    assert copy.data_ptr() != image.data_ptr()
    flat = torch.ones(2, requires_grad=True)
    assert portable(flat).data_ptr() != flat.data_ptr()
    assert not portable(flat).requires_grad
