"""What can become of a case: every kind is seen as what it is."""

from __future__ import annotations

import os
import signal
import time

import pytest
from forks import CRASH, FINE, HANG, UNEXPECTED, Outcome, in_fork


def fine() -> Outcome:
    return Outcome(FINE, "words")


def raises() -> Outcome:
    raise ValueError("what went wrong")


def leaves() -> Outcome:
    os.write(2, b"last words")
    os._exit(3)


def dies() -> Outcome:
    os.kill(os.getpid(), signal.SIGSEGV)
    return fine()


def works_for_ever() -> Outcome:
    while True:
        pass


def takes_gigabytes() -> Outcome:
    return Outcome(FINE, str(len(bytearray(1 << 30))))


def test_an_answer_comes_back_with_its_time() -> None:
    outcome = in_fork(fine)

    assert (outcome.kind, outcome.words) == (FINE, "words")
    assert 0 < outcome.seconds < 1


@pytest.mark.parametrize(
    ("check", "kind", "words"),
    [
        (raises, UNEXPECTED, "what went wrong"),
        (leaves, CRASH, "exit 3\nlast words"),
        (dies, CRASH, "SIGSEGV"),
        (works_for_ever, HANG, "SIGXCPU"),
        (takes_gigabytes, UNEXPECTED, "MemoryError"),
    ],
)
def test_everything_else_is_seen(check: object, kind: str, words: str) -> None:
    outcome = in_fork(check, seconds=1, memory=1 << 29)

    assert outcome.kind == kind
    assert words in outcome.words


def test_waiting_without_end_is_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forks.WALL", 0.2)

    assert in_fork(lambda: time.sleep(60)).kind == HANG
