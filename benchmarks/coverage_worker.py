"""Runs a function per model in a process of its own, so that no model can stop the others.

The worker reads jobs from its standard input and answers with one line of JSON each; whatever else is
printed goes to standard error. It may hold no more than it is told (beyond which allocations fail, which is
an error like any other), it is killed where a job takes too long, and it is replaced after it died, after
every JOBS jobs and after every error, because libraries keep what they once made.
"""

from __future__ import annotations

import json
import os
import re
import resource
import select
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

TEMPORARY = re.escape(tempfile.gettempdir()) + r"[/\\]\w+[/\\]"
JOBS = 50

Job = dict[str, Any]


class Worker:
    """A process that is given jobs: `command` starts one that calls `serve`.

    A context manager; `ask(job, seconds)` gives the answer, or an error of the kind that
    `failure` makes where there was none.
    """

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.process: subprocess.Popen[bytes] | None = None
        self.jobs = 0

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ask(self, job: Job, seconds: float) -> Job:
        if self.jobs >= JOBS:
            self.stop()
        if self.process is None:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe)
            self.jobs = 0
        self.jobs += 1
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        return self._answer(seconds)

    def _answer(self, seconds: float) -> Job:
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        answer = self.process.stdout.readline() if ready else b""
        if answer.endswith(b"\n"):
            if b'"error"' in answer:
                self.stop()
            return json.loads(answer)
        ended = self.process.poll() if not ready else self.process.wait()
        self.stop()
        if not ready:
            return failure("Timeout", f"not done after {seconds:g} seconds")
        return failure("Died", f"the process ended with {ended}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def serve(answer: Callable[[Job], Job], memory: int) -> None:
    """Answer jobs until there are no more, with no more than so many bytes."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    warnings.simplefilter("ignore")
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for text in sys.stdin:
        print(json.dumps(attempt(answer, json.loads(text))), file=out, flush=True)


def attempt(work: Callable[..., Job], *args: Any) -> Job:
    """What `work` returns, or the error that it raised."""
    try:
        return work(*args)
    except Exception as error:  # whatever a library raises: one model must not stop the others
        return failure(type(error).__name__, str(error))


def failure(kind: str, words: str) -> Job:
    """The part of a line that says why something did not work: the first line of an error, without the names
    of temporary folders."""
    first = next(iter(words.strip().splitlines()), "")
    return {"error": kind, "reason": re.sub(TEMPORARY, "", first)}
