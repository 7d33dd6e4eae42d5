"""What the program says when something goes wrong: one sentence and one hint, never a traceback."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from typing import TextIO

import typer

from binarize import interrupt
from binarize.cli import render
from binarize.cli.command import UsageError
from binarize.cli.quiet import TRACEBACK
from binarize.errors import BinarizeError


def explain(problem: BaseException) -> int:
    """One sentence and one hint on stderr for what went wrong; the exit code."""
    if isinstance(problem, (KeyboardInterrupt, typer.Abort)) or interrupt.received():
        words, code = interrupt.outcome()
        try:
            render.error(words)
        except OSError:  # the terminal is gone
            say_no_more(sys.stdout, sys.stderr)
        return code
    if isinstance(problem, UsageError):
        return explain_usage(problem)
    if isinstance(problem, BrokenPipeError):
        say_no_more(sys.stdout)  # whoever read us has left
        return 1
    if disk_is_full(problem):
        render.error(f"the disk is full{while_writing(problem)}", "free some space and try again")
    elif worker_ended(problem):
        render.error(
            f"a process that loads images ended: {' '.join(str(problem).split())}",
            "fewer of them take less memory, and without any a damaged image is named: -j 0 of eval, "
            "--set data.workers=0 of train",
        )
    elif isinstance(problem, BinarizeError):
        render.error(problem.message, problem.hint)
    elif memory_is_full(problem):
        render.error("there is not enough memory", "take smaller images, batches or models")
    elif isinstance(problem, OSError) and problem.strerror:
        render.error(f"{problem.strerror.lower()}{where(problem)}", "check the path and its rights")
    else:
        words = " ".join(str(problem).split()) or "no message"
        render.error(
            f"unexpected {type(problem).__name__}: {words}",
            f"this is a bug in binarize; {TRACEBACK}=1 shows where it happened",
        )
    return 1


def say_no_more(*streams: TextIO) -> None:
    """Nobody listens, and Python would complain once more when it flushes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())


def explain_usage(problem: UsageError) -> int:
    """Wrong usage: click's sentence and a hint. No arguments at all: the help itself."""
    if problem.ctx is not None and type(problem).__name__ == "NoArgsIsHelpError":
        print(problem.ctx.get_help())
        return 2
    path = problem.ctx.command_path if problem.ctx else "binarize"
    message = " ".join(problem.format_message().split()).rstrip(".")
    hint = getattr(problem, "hint", f"see {path} --help")
    render.error(message[:1].lower() + message[1:], hint)
    return 2


def worker_ended(problem: BaseException) -> bool:
    """Whether a process that loads images was killed, by the system or by a decoder's own fault."""
    told = str(problem)
    return isinstance(problem, RuntimeError) and told.startswith("DataLoader worker")


def disk_is_full(problem: BaseException) -> bool:
    """Whether `problem`, or what it was raised from, is a disk, quota or file size limit reached."""
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    return any(error_number(link) in full for link in chain(problem))


def memory_is_full(problem: BaseException) -> bool:
    """Whether `problem` is a refusal of memory: Python's, or torch's for a CPU or a GPU."""
    name, words = type(problem).__name__, str(problem)
    refused = any(mark in words for mark in ("can't allocate memory", "std::bad_alloc"))
    return isinstance(problem, MemoryError) or name == "OutOfMemoryError" or refused


def error_number(problem: BaseException) -> int | None:
    """The system's number for what happened. safetensors hands it on as text only."""
    if isinstance(problem, OSError):
        return problem.errno
    told = re.search(r"\(os error (\d+)\)", str(problem))
    return int(told[1]) if told else None


def while_writing(problem: BaseException) -> str:
    """` while writing "X"`, where anything in the chain knows a file name."""
    names = [
        link.filename for link in chain(problem) if isinstance(link, OSError) and link.filename
    ]
    return f' while writing "{names[0]}"' if names else ""


def chain(problem: BaseException | None) -> Iterator[BaseException]:
    """`problem`, what it was raised from, and so on."""
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__


def where(problem: OSError) -> str:
    return f': "{problem.filename}"' if problem.filename else ""
