"""One case of a fuzzer in a process of its own, so that a crash, a hang and gigabytes are seen and survived.

outcome = in_fork(check)        check() answers with an `Outcome`
FINE        the command did what it is for
REFUSED     one sentence and a hint that name the file, exit 1 (usage: 2)
UNEXPECTED  everything else that a command can end with: a traceback, "a bug in binarize", a file opened
            or code run that should not be, a control character on the terminal
CRASH       a signal ended the process
HANG        it took more than SECONDS of CPU, or waited WALL seconds
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO, NoReturn

FINE, REFUSED, UNEXPECTED, CRASH, HANG = "fine", "refused", "unexpected", "crash", "hang"
KINDS = (FINE, REFUSED, UNEXPECTED, CRASH, HANG)

SECONDS = 10
"""Of CPU time."""
WALL = 120.0
"""Seconds without an end: it waits for something that does not come."""
MEMORY = 2 << 30
"""Bytes that a case may take on top of what the process had."""


@dataclass(frozen=True)
class Outcome:
    """How a case ended, what it said, and the CPU seconds that it took."""

    kind: str
    words: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.kind in (FINE, REFUSED)


def in_fork(check: Callable[[], Outcome], seconds: int = SECONDS, memory: int = MEMORY) -> Outcome:
    """What `check` answers in a fork of this process with limits of time and memory, or how the fork ended.

    An exception of `check` is UNEXPECTED. What its process prints is in the words where it does not answer.
    """
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as printed:
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # threads do not come along: none is waited for
            child = os.fork()
        if child == 0:
            _answer(check, seconds, memory, answer, printed)
        status, used = _wait(child)
        answer.seek(0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            return replace(pickle.load(answer), seconds=used)
        printed.seek(0)
        words = printed.read()[-4000:].decode(errors="replace")
        if os.WIFEXITED(status):
            return Outcome(CRASH, f"exit {os.WEXITSTATUS(status)}\n{words}", used)
        number = signal.Signals(os.WTERMSIG(status))
        late = number in (signal.SIGXCPU, signal.SIGKILL)
        return Outcome(HANG if late else CRASH, f"{number.name}\n{words}", used)


def _answer(
    check: Callable[[], Outcome], seconds: int, memory: int, to: IO[bytes], printed: IO[bytes]
) -> NoReturn:
    """The whole life of the fork."""
    code = 99
    try:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        faulthandler.enable(printed.fileno())
        warnings.resetwarnings()
        warnings.simplefilter("default")  # as the program has them
        limit_time(seconds)
        _set(resource.RLIMIT_AS, _address_space() + memory)
        _set(resource.RLIMIT_CORE, 0)
        try:
            outcome = check()
        except BaseException as error:  # whatever comes out is a fault
            words = "".join(traceback.format_exception(error))[-4000:]
            outcome = Outcome(UNEXPECTED, words)
        pickle.dump(outcome, to)
        to.flush()
        code = 0
    finally:
        os._exit(code)


def limit_time(seconds: int = SECONDS) -> None:
    """Give this process so much CPU time from here on."""
    _set(resource.RLIMIT_CPU, round(time.process_time()) + seconds)


def _set(limit: int, value: int) -> None:
    """The soft limit, and no higher than the hard one."""
    hard = resource.getrlimit(limit)[1]
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _address_space() -> int:
    with contextlib.suppress(OSError), open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[0]) * resource.getpagesize()
    return 1 << 40


def _wait(child: int) -> tuple[int, float]:
    """The status of the fork once it has ended, and its CPU seconds; killed where it waits for ever."""
    end = time.monotonic() + WALL
    pause = 0.001
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return status, usage.ru_utime + usage.ru_stime
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            end = float("inf")
        time.sleep(pause)
        pause = min(0.05, pause * 1.5)
