"""Run directories: what is in them, which is newest, and that nothing half-written is ever left."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from binarize import run as runs
from binarize.errors import RunError
from binarize.run import (
    Run,
    RunInfo,
    is_run,
    new_directory,
    new_run_path,
    newest_run,
    open_run,
    replacing,
    write_info,
    write_json,
    write_text,
)


def info(**changes: object) -> RunInfo:
    fields = {
        "kind": "converted",
        "model": {"name": "resnet18", "library": "timm", "library_version": "1", "kwargs": {}},
        "conversion": None,
        "weights": "random",
        "preprocess": {"img_size": 224},
    }
    return RunInfo(**fields | changes)


def make_run(path: Path, **changes: object) -> Run:
    path.mkdir(parents=True)
    write_info(path, info(**changes))
    return Run(path)


def everything_in(path: Path) -> list[str]:
    return sorted(str(entry.relative_to(path)) for entry in path.rglob("*"))


class TestInfo:
    def test_it_is_read_as_it_was_written(self, tmp_path):
        written = info(classes=["cat", "dog"], parent="runs/x", conversion={"keep": ["*"]})
        write_info(tmp_path, written)
        assert open_run(tmp_path).info == written
        assert open_run(str(tmp_path)).info == written

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "null", '{"format": 1}', '{"format": 1, "surplus": 2}', "\xff\xfe"],
    )
    def test_a_damaged_file_is_named(self, tmp_path, text):
        (tmp_path / "run.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(RunError, match=r'run.json" is missing or damaged') as caught:
            _ = open_run(tmp_path).info
        assert "binarize convert" in caught.value.hint

    def test_a_truncated_file_is_named(self, tmp_path):
        run = make_run(tmp_path / "r")
        text = (run.path / "run.json").read_text()
        (run.path / "run.json").write_text(text[: len(text) // 2])
        with pytest.raises(RunError, match="damaged"):
            _ = run.info

    def test_another_format_is_refused(self, tmp_path):
        run = make_run(tmp_path / "r", format=99)
        with pytest.raises(RunError, match="has format 99; this version reads 1"):
            _ = run.info

    @pytest.mark.parametrize("text", [None, "{"], ids=["missing", "damaged"])
    def test_the_other_json_files_too(self, tmp_path, text):
        run = make_run(tmp_path / "r")
        if text:
            (run.path / "summary.json").write_text(text)
        with pytest.raises(RunError, match=r'summary.json" is missing or damaged'):
            run.read_json("summary.json")


class TestOpen:
    def test_a_path_that_does_not_exist(self, tmp_path):
        with pytest.raises(RunError, match="does not exist"):
            open_run(tmp_path / "nowhere")

    def test_a_directory_that_is_no_run(self, tmp_path):
        assert not is_run(tmp_path)
        with pytest.raises(RunError, match=r"is not a run \(it has no run.json\)"):
            open_run(tmp_path)


class TestWeights:
    def test_the_last_checkpoint_comes_before_the_converted_weights(self, tmp_path):
        run = make_run(tmp_path / "r")
        (run.path / "model.safetensors").touch()
        assert run.weights == run.path / "model.safetensors"
        (run.path / "last").mkdir()
        (run.path / "last" / "model.safetensors").touch()
        assert run.weights == run.path / "last" / "model.safetensors"

    def test_a_run_without_any_says_how_to_get_them(self, tmp_path):
        run = make_run(tmp_path / "r")
        with pytest.raises(RunError, match="holds no weights yet") as caught:
            _ = run.weights
        assert caught.value.hint.endswith(f"binarize train --resume {run.path}")


class TestNewest:
    def test_it_is_the_one_made_last_whatever_its_name_or_file_times(self, tmp_path):
        for name, created in (("c", 1.0), ("a", 3.0), ("b", 2.0)):
            make_run(tmp_path / name, created=created)
        os.utime(tmp_path / "c" / "run.json")
        assert newest_run(tmp_path).path.name == "a"

    def test_directories_without_run_json_are_passed_over(self, tmp_path):
        make_run(tmp_path / "a")
        (tmp_path / "b").mkdir()
        assert newest_run(tmp_path).path.name == "a"

    def test_so_is_what_a_killed_process_left_half_made(self, tmp_path):
        make_run(tmp_path / "a", created=1.0)
        make_run(tmp_path / ".b.x7.part", created=2.0)
        assert newest_run(tmp_path).path.name == "a"

    @pytest.mark.parametrize("made", [True, False], ids=["empty", "missing"])
    def test_none_at_all_says_how_to_make_one(self, tmp_path, made):
        root = tmp_path / "runs"
        if made:
            root.mkdir()
        with pytest.raises(RunError, match="there is no run under") as caught:
            newest_run(root)
        assert "binarize convert" in caught.value.hint

    def test_the_default_is_runs_here(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        make_run(Path("runs") / "a")
        assert newest_run().path == Path("runs/a")


def test_new_paths_are_numbered_from_two(tmp_path):
    names = []
    for _ in range(3):
        path = new_run_path("resnet18", tmp_path)
        path.mkdir()
        names.append(path.name)
    assert names == ["resnet18", "resnet18-2", "resnet18-3"]


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
        monkeypatch.setattr(runs.os, step, full_disk)
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
                monkeypatch.setattr(runs.os, "fsync", full_disk)
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
