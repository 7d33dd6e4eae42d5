"""Death before or after any file-system step of a checkpoint: what is found then is whole, old or new."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_train_checkpoint as plain

from binarize.run import files, weights
from binarize.training import checkpoint

STEPS = [
    *((os, name) for name in ("open", "fsync", "mkdir", "rename", "replace", "rmdir", "unlink")),
    *((Path, name) for name in ("mkdir", "replace", "rename", "unlink", "chmod", "write_text")),
    (tempfile, "mkstemp"),
    (shutil, "rmtree"),
    (checkpoint, "save_file"),
    (files, "_sync"),
    (weights, "save_file"),
    (weights, "_sort_metadata"),
]


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs, so what cleans up is made to fail as well."""


class Death:
    """Dies at one file-system step, counted from 0, before or after it, and at every later one.

    A process that is killed does nothing more: steps of `finally` blocks, which the exception does reach,
    are refused. Steps within a step are not counted.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, at: int | None = None, after: bool = False
    ) -> None:
        self.at, self.after = at, after
        self.names: list[str] = []
        self._inside = False
        for owner, name in STEPS:
            patch.setattr(owner, name, self._step(getattr(owner, name), name))

    def _step(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return original(*args, **kwargs)
            number = len(self.names)
            self.names.append(name)
            if self.at is not None and (number > self.at or (number == self.at and not self.after)):
                raise Killed
            self._inside = True
            try:
                result = original(*args, **kwargs)
            finally:
                self._inside = False
            if number == self.at:
                raise Killed
            return result

        return step


def steps_of(act: Callable[[], None]) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        death = Death(patch)
        act()
    return death.names


def die(act: Callable[[], None], at: int, after: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Death(patch, at, after)
        with pytest.raises(Killed):
            act()


def make(folder: Path, number: float = 1.0) -> Path:
    checkpoint.save(folder / "last", plain.example(number))
    return folder / "last"


def check(last: Path, allowed: set[float]) -> None:
    checkpoint.recover(last.parent)
    assert [path.name for path in last.parent.iterdir()] == ["last"]
    assert plain.number_of(last) in allowed
    checkpoint.save(last, plain.example(3.0))
    assert plain.number_of(last) == 3.0


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_save(tmp_path: Path, after: bool) -> None:
    def save(last: Path) -> None:
        checkpoint.save(last, plain.example(2.0))

    last = make(tmp_path / "count")
    whole = steps_of(lambda: save(last))
    assert whole.count("replace") == 5  # three files and two directories
    for number in range(len(whole)):
        last = make(tmp_path / str(number))
        die(lambda last=last: save(last), number, after)
        check(last, {1.0, 2.0})


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_recovery(tmp_path: Path, after: bool) -> None:
    """Killed while it undoes what an earlier kill left: at the worst moment, between the two renames."""

    def cut_short(folder: Path) -> Path:
        last = make(folder)
        shutil.copytree(last, folder / ".last.part")
        last.rename(folder / ".last.old")
        return last

    last = cut_short(tmp_path / "count")
    whole = steps_of(lambda: checkpoint.recover(last.parent))
    assert "replace" in whole
    for number in range(len(whole)):
        last = cut_short(tmp_path / str(number))
        die(lambda last=last: checkpoint.recover(last.parent), number, after)
        check(last, {1.0})


def test_the_first_checkpoint_of_a_run(tmp_path: Path) -> None:
    whole = steps_of(lambda: make(tmp_path / "count"))
    for number in range(len(whole)):
        folder = tmp_path / str(number)
        folder.mkdir()
        die(lambda folder=folder: make(folder), number, after=False)
        checkpoint.recover(folder)
        if (folder / "last").exists():
            check(folder / "last", {1.0})
        else:
            assert list(folder.iterdir()) == []
