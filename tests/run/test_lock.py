from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from filelock import FileLock

from binarize.run.lock import held, holder, remove_if_free

HOLD = """
import sys, time
from pathlib import Path
from binarize.run.lock import held
with held(Path(sys.argv[1])) as alone:
    print(alone, flush=True)
    time.sleep(60)
"""


def test_one_holder_at_a_time(tmp_path):
    path = tmp_path / "cells" / "a.lock"
    with held(path) as first:
        assert first
        assert path.read_text() == f"{os.getpid()}\n"
        with held(path) as second:
            assert not second
        assert path.exists()
    assert not path.exists()
    with held(path) as again:
        assert again


def test_a_holder_that_is_killed_holds_nothing(tmp_path):
    path = tmp_path / "a.lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "True\n"
        with held(path) as alone:
            assert not alone
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert path.exists()  # as a power cut leaves it
    with held(path) as alone:
        assert alone


def test_the_holder_is_named_while_it_holds_and_by_a_file_of_text_alone(tmp_path):
    path = tmp_path / "a.lock"
    assert holder(path) == ""
    with held(path):
        assert holder(path) == str(os.getpid())
    path.write_bytes(b"\xff\xfe")
    assert holder(path) == ""


@pytest.mark.parametrize("there", [False, True])
def test_where_nothing_can_be_written_nobody_else_writes(tmp_path, monkeypatch, there):
    path = tmp_path / "a.lock"
    if there:
        path.write_text("1\n")
    for number in (errno.EACCES, errno.EPERM, errno.EROFS):
        monkeypatch.setattr(FileLock, "acquire", failing(number))
        with held(path) as alone:
            assert alone != there


def test_a_lock_file_left_behind_is_removed_and_one_that_is_held_stays(tmp_path):
    path = tmp_path / "runs" / "a.lock"
    remove_if_free(path)
    assert list(tmp_path.iterdir()) == []  # nothing is made where there is none
    path.parent.mkdir()
    path.write_text("1\n")
    remove_if_free(path)
    assert not path.exists()
    with held(path):
        remove_if_free(path)
        assert holder(path) == str(os.getpid())


def test_another_error_of_the_disk_is_not_hidden(tmp_path, monkeypatch):
    monkeypatch.setattr(FileLock, "acquire", failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"), held(tmp_path / "a.lock"):
        pytest.fail("the block must not run")


def failing(number: int) -> Callable[..., None]:
    def acquire(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return acquire
