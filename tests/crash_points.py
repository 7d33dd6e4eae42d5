"""What a process that dies leaves on disk: before and after every file-system step of a command.

The command runs once. At each of its steps the directory is copied as it is: that is what a process that is
killed there leaves behind, with no `finally` block run and no lock held.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

RANDOM = re.compile(r"(\.[a-z0-9_]{8})(?=\.part$)")
STEPS = ("mkdir", "rename", "replace", "rmdir", "unlink", "remove", "chmod", "fsync", "link")


class CrashPoints:
    """The crash points of what runs in `recorded`.

    Attributes:
        steps: names of the file-system steps, in order.
        states: copies of the directory that differ in anything, in order; the first one is how it was.
    """

    def __init__(self, folder: Path, copies: Path) -> None:
        self.folder, self.copies = folder, copies
        self.steps: list[str] = []
        self.states: list[Path] = []
        self._before: object = None
        self._inside = False

    @property
    def points(self) -> int:
        """A death before and one after each step."""
        return 2 * len(self.steps)

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in STEPS:
                patch.setattr(os, name, self._step(name, getattr(os, name)))
            patch.setattr(os, "open", self._step("open", os.open, creates))
            opened = self._step("open", io.open, writes)
            for module in (io, builtins):
                patch.setattr(module, "open", opened)
            # Rust writes it: what is found in the middle is imitated by an empty file.
            whole = self._step("save", safetensors.torch.serialize_file)
            patch.setattr(safetensors.torch, "serialize_file", self._begun(whole))
            yield
        self._copy()

    def _step(
        self, name: str, original: Callable[..., Any], counts: Callable[..., bool] | None = None
    ) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if self._inside or (counts is not None and not counts(*args, **kwargs)):
                return original(*args, **kwargs)
            self.steps.append(name)
            self._copy()
            try:
                return original(*args, **kwargs)
            finally:
                self._copy()

        return step

    def _begun(self, save: Callable[..., Any]) -> Callable[..., Any]:
        def begun(tensors: Any, file: Any, *more: Any, **named: Any) -> Any:
            Path(file).write_bytes(b"")
            return save(tensors, file, *more, **named)

        return begun

    def _copy(self) -> None:
        """Copy the directory, unless it is as it was."""
        now = signature(self.folder)
        if now != self._before:
            self._inside = True  # copying takes steps, too
            state = self.copies / str(len(self.states))
            shutil.copytree(self.folder, state, symlinks=True)
            self._inside = False
            self.states.append(state)
            self._before = now


def creates(path: Any, flags: int, *_: Any, **__: Any) -> bool:
    return bool(flags & (os.O_CREAT | os.O_TRUNC))


def writes(file: Any, mode: str = "r", *_: Any, **__: Any) -> bool:
    return not isinstance(file, int) and any(letter in mode for letter in "wax+")


def signature(folder: Path) -> object:
    """Changes where anything in the directory does."""
    entries = ((path, path.lstat()) for path in sorted(folder.rglob("*")))
    return [(path, at.st_ino, at.st_size, at.st_mtime_ns, at.st_mode) for path, at in entries]


def visible(folder: Path) -> dict[str, bytes | None]:
    """Content by path of all that is not hidden and lies in no hidden directory; None of a directory."""
    paths = {path: path.relative_to(folder) for path in sorted(folder.rglob("*"))}
    return {
        str(name): None if path.is_dir() else path.read_bytes()
        for path, name in paths.items()
        if not any(part.startswith(".") for part in name.parts)
    }


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*"))


def different(states: list[Path]) -> list[Path]:
    """Those that differ for a later command: the content of what was being written does not matter."""
    found: dict[object, Path] = {}
    for state in states:
        names = (RANDOM.sub(".x", name) for name in hidden(state))
        found.setdefault((repr(visible(state)), tuple(names)), state)
    return list(found.values())
