"""Files and directories that appear whole or not at all: nothing half-written is ever left."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from binarize.errors import RunError
from binarize.run import files, new_directory, new_run, replacing, write_json, write_text
from binarize.run.files import read_file


def everything_in(path: Path) -> list[str]:
    return sorted(str(entry.relative_to(path)) for entry in path.rglob("*"))


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


class TestReplacing:
    def test_the_file_appears_at_the_end_with_ordinary_rights(self, tmp_path):
        path = tmp_path / "deep" / "file.txt"
        with replacing(path) as temporary:
            temporary.write_text("new")
            assert temporary.parent == path.parent
            assert not path.exists()
        assert path.read_text() == "new"
        umask = os.umask(0)
        os.umask(umask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
        assert everything_in(path.parent) == ["file.txt"]

    @pytest.mark.parametrize("problem", [ValueError, KeyboardInterrupt, SystemExit])
    def test_an_exception_leaves_the_old_file_and_nothing_else(self, tmp_path, problem):
        path = tmp_path / "file.txt"
        path.write_text("old")

        def write_half():
            with replacing(path) as temporary:
                temporary.write_text("half")
                raise problem

        with pytest.raises(problem):
            write_half()
        assert path.read_text() == "old"
        assert everything_in(tmp_path) == ["file.txt"]

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_a_full_disk_at_any_step_leaves_nothing(self, tmp_path, monkeypatch, step):
        monkeypatch.setattr(files.os, step, full_disk)
        with pytest.raises(OSError, match="No space left"):
            write_json(tmp_path / "file.json", {"a": 1})
        assert everything_in(tmp_path) == []

    def test_a_full_disk_while_writing_leaves_the_old_text(self, tmp_path, monkeypatch):
        path = tmp_path / "file.txt"
        write_text(path, "old")
        monkeypatch.setattr(Path, "write_text", full_disk)
        with pytest.raises(OSError, match="No space left"):
            write_text(path, "new")
        assert path.read_text() == "old"
        assert everything_in(tmp_path) == ["file.txt"]

    def test_a_real_full_device_leaves_nothing(self, tmp_path):
        full = Path("/dev/full")
        if not full.exists():
            pytest.skip("this system has no /dev/full")

        def write_to_it():
            with replacing(tmp_path / "file") as temporary:
                temporary.unlink()
                temporary.symlink_to(full)
                temporary.write_text("x")

        with pytest.raises(OSError, match="No space left"):
            write_to_it()
        assert everything_in(tmp_path) == []

    def test_text_is_utf_8_and_json_ends_with_a_line(self, tmp_path):
        write_text(tmp_path / "t", "k²x² → ±s")
        assert (tmp_path / "t").read_bytes() == "k²x² → ±s".encode()
        write_json(tmp_path / "j", {"a": [1, 2]})
        text = (tmp_path / "j").read_text()
        assert text.endswith("]\n}\n")
        assert json.loads(text) == {"a": [1, 2]}


class TestNewDirectory:
    @pytest.mark.parametrize("there", [False, True], ids=["missing", "empty"])
    def test_it_appears_at_the_end_with_ordinary_rights(self, tmp_path, there):
        path = tmp_path / "runs" / "r"
        if there:
            path.mkdir(parents=True)
        with new_directory(path) as temporary:
            (temporary / "file").write_text("x")
            assert not (path / "file").exists()
        umask = os.umask(0)
        os.umask(umask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o777 & ~umask
        assert everything_in(tmp_path / "runs") == ["r", "r/file"]

    @pytest.mark.parametrize("problem", [ValueError, KeyboardInterrupt])
    def test_an_exception_leaves_nothing(self, tmp_path, problem):
        def write_half():
            with new_directory(tmp_path / "r") as temporary:
                (temporary / "sub").mkdir()
                (temporary / "sub" / "file").write_text("x")
                raise problem

        with pytest.raises(problem):
            write_half()
        assert everything_in(tmp_path) == []

    def test_a_full_disk_leaves_nothing(self, tmp_path, monkeypatch):
        def write_two():
            with new_directory(tmp_path / "r") as temporary:
                write_text(temporary / "first", "x")
                monkeypatch.setattr(files.os, "fsync", full_disk)
                write_text(temporary / "second", "x")

        with pytest.raises(OSError, match="No space left"):
            write_two()
        assert everything_in(tmp_path) == []

    @pytest.mark.parametrize("kind", ["directory", "file"])
    def test_what_is_there_is_never_overwritten(self, tmp_path, kind):
        path = tmp_path / "r"
        if kind == "directory":
            path.mkdir()
            (path / "mine").write_text("precious")
        else:
            path.write_text("precious")
        with pytest.raises(RunError, match="exists already") as caught, new_directory(path):
            pytest.fail("the block must not run")
        assert "-o" in caught.value.hint
        assert everything_in(tmp_path) == (["r", "r/mine"] if kind == "directory" else ["r"])

    def test_a_full_disk_at_the_end_leaves_nothing(self, tmp_path, monkeypatch):
        def write_and_rename():
            with new_directory(tmp_path / "r") as temporary:
                (temporary / "file").write_text("x")
                monkeypatch.setattr(Path, "replace", full_disk)

        with pytest.raises(OSError, match="No space left"):
            write_and_rename()
        assert everything_in(tmp_path) == []


class TestNewRun:
    def test_names_are_numbered_from_two(self, tmp_path):
        names = []
        for _ in range(3):
            with new_run("resnet18", tmp_path) as made:
                (made.directory / "file").write_text("x")
            names.append(made.path.name)
            assert (made.path / "file").read_text() == "x"
        assert names == ["resnet18", "resnet18-2", "resnet18-3"]
        assert sorted(path.name for path in tmp_path.iterdir()) == names

    def test_two_at_once_get_a_name_each(self, tmp_path):
        with new_run("r", tmp_path) as first, new_run("r", tmp_path) as second:
            (first.directory / "file").write_text("first")
            (second.directory / "file").write_text("second")
        assert {first.path.name, second.path.name} == {"r", "r-2"}
        assert (first.path / "file").read_text() == "first"
        assert (second.path / "file").read_text() == "second"

    def test_many_that_end_at_the_same_moment_get_a_name_each(self, tmp_path):
        count, paths = 8, []
        together = threading.Barrier(count)

        def make(number: int) -> None:
            with new_run("r", tmp_path) as made:
                (made.directory / "file").write_text(str(number))
                together.wait(30)
            paths.append((made.path, str(number)))

        threads = [threading.Thread(target=make, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({path for path, _ in paths}) == count
        assert all((path / "file").read_text() == text for path, text in paths)

    @pytest.mark.parametrize("kind", ["directory", "file"])
    def test_what_is_there_is_never_overwritten(self, tmp_path, kind):
        if kind == "directory":
            (tmp_path / "r").mkdir()
        else:
            (tmp_path / "r").write_text("precious")
        with new_run("r", tmp_path) as made:
            (made.directory / "file").write_text("x")
        assert made.path.name == "r-2"
        assert everything_in(tmp_path) == ["r", "r-2", "r-2/file"]

    def test_a_full_disk_at_the_end_leaves_nothing(self, tmp_path, monkeypatch):
        def write_and_rename():
            with new_run("r", tmp_path) as made:
                (made.directory / "file").write_text("x")
                monkeypatch.setattr(Path, "rename", full_disk)

        with pytest.raises(OSError, match="No space left"):
            write_and_rename()
        assert everything_in(tmp_path) == []

    @pytest.mark.parametrize("problem", [ValueError, KeyboardInterrupt])
    def test_an_exception_leaves_nothing_and_takes_no_name(self, tmp_path, problem):
        def write_half():
            with new_run("r", tmp_path) as made:
                (made.directory / "file").write_text("x")
                raise problem

        with pytest.raises(problem):
            write_half()
        assert everything_in(tmp_path) == []


def test_a_file_without_end_is_not_read(tmp_path):
    with (tmp_path / "run.json").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte
    with pytest.raises(OSError, match="too large"):
        read_file(tmp_path / "run.json")
    assert read_file(tmp_path / "run.json", 3) == b"\0\0\0"


def test_a_whole_file_has_at_most_64_mib(tmp_path):
    path, most = tmp_path / "metrics.csv", 64 << 20
    with path.open("wb") as file:
        file.truncate(most)
    assert len(read_file(path)) == most
    os.truncate(path, most + 1)
    with pytest.raises(OSError, match="too large"):
        read_file(path)
