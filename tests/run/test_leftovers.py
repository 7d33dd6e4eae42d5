"""What killed processes leave is removed; what another process is writing, or wrote for itself, stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from binarize.run import new_directory, new_run, replacing, write_text
from binarize.run.leftovers import remove_leftovers
from binarize.training import checkpoint

WRITE = """
import sys, time
from pathlib import Path
from binarize.run import replacing
with replacing(Path(sys.argv[1])):
    print("writing", flush=True)
    time.sleep(60)
"""


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_of_a_killed_process_when_the_name_is_written_next(tmp_path):
    path = tmp_path / "model.onnx"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "writing\n"
        (half,) = names(tmp_path)
        write_text(path, "mine")  # while the other one still lives
        assert names(tmp_path) == {half, "model.onnx"}
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    write_text(path, "mine again")
    assert names(tmp_path) == {"model.onnx"}


@pytest.mark.parametrize("write", [replacing, new_directory])
def test_a_training_that_is_resumed_leaves_what_is_being_written(tmp_path, write):
    with write(tmp_path / "model.onnx") as temporary:
        checkpoint.recover(tmp_path)
        assert temporary.exists()
        if temporary.is_dir():
            (temporary / "run.json").touch()
    assert names(tmp_path) == {"model.onnx"}


def test_other_names_stay(tmp_path):
    others = {".a.part", ".a.txt.part", "a.x1______.part", ".a.x1______.partial", ".a.x1______"}
    own = {".a.x1______.part", ".b.c.x1______.part"}
    for name in others | own:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, "a")
    assert names(tmp_path) == others | {".b.c.x1______.part"}
    remove_leftovers(tmp_path)
    assert names(tmp_path) == others
    remove_leftovers(tmp_path / "no such directory")


def test_under_runs_of_whatever_name(tmp_path):
    (tmp_path / ".resnet18.x1______.part").mkdir()
    (tmp_path / ".resnet18.x1______.part/model.safetensors").touch()
    with new_run("vgg11", tmp_path) as made:
        assert names(tmp_path) == {made.directory.name}
    assert names(tmp_path) == {"vgg11"}


def test_without_such_locks_leftovers_stay(tmp_path, monkeypatch):
    """Windows."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    (tmp_path / ".a.x1______.part").touch()
    write_text(tmp_path / "a", "text")
    assert names(tmp_path) == {".a.x1______.part", "a"}


def test_one_file_that_cannot_be_removed_keeps_no_other(tmp_path, monkeypatch):
    """As where another user, or Windows, holds it open."""
    half = tmp_path / ".a.x1______.part"
    half.mkdir()
    for name in "bcd":
        (half / name).touch()
    unlink, refused = os.unlink, []

    def hold_the_first(name, **where):
        if not refused:
            refused.append(name)
            raise PermissionError(name)
        unlink(name, **where)

    monkeypatch.setattr(os, "unlink", hold_the_first)
    remove_leftovers(tmp_path)
    assert len(names(half)) == 1
