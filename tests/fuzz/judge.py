"""What a command makes of a file: `judge([...], file)` in the fork of a case.

A command may do what it is for, or refuse with one sentence that names the file and a hint. Everything else
is wrong: an unexpected exception, a connection, a file that is opened outside of the case's folder and the
libraries, code that is run, a control character on the terminal, markup in a page.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from forks import FINE, REFUSED, UNEXPECTED, Outcome, limit_time

ESCAPE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
MARKUP = "<script>alert(1)</script>"
LONGEST = 2000
"""Letters of a message."""
CONNECTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request")
RUNS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn")


class Enough(BaseException):
    """Raised by what a fuzzer puts in the place of long work: the command did what it is for."""


def judge(argv: list[str], file: Path, *roots: Path, named: bool = True) -> Outcome:
    """The outcome of a command that reads `file`, which a refusal names: itself, or the folder it is in.

    Files may be opened in that folder, in `roots` and where libraries are. `named`: a refusal need not name
    the file where it is False.
    """
    from binarize.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    hidden = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with _watched([file.parent, *roots]) as seen, hidden[0], hidden[1]:
        try:
            code = main(argv)
        except Enough:
            code = 0
    wrong = seen[0] if seen else _wrong(code, out.getvalue(), err.getvalue(), file, named)
    words = f"{' '.join(argv)}: exit {code}\n{out.getvalue()[-1500:]}\n{err.getvalue()[-1500:]}"
    if wrong:
        return Outcome(UNEXPECTED, f"{wrong}\n{words}")
    return Outcome(FINE if code == 0 else REFUSED, words)


def judge_all(
    commands: Iterable[list[str]], file: Path, *roots: Path, named: bool = True
) -> Outcome:
    """Of several commands: of the first that is worse than refused, else of one that refused.

    In a fork: each has its own time.
    """
    found = []
    for argv in commands:
        limit_time()
        found.append(judge(argv, file, *roots, named=named))
        if not found[-1].good:
            return found[-1]
    return next((outcome for outcome in found if outcome.kind == REFUSED), found[0])


def _wrong(code: int, out: str, err: str, file: Path, named: bool) -> str:
    """What is wrong with the end of a command; nothing, mostly."""
    if "Traceback" in err or re.search(r"error: unexpected \w+:", err):
        return "a bug in binarize"
    if ESCAPE.search(out + err):
        return "escape"
    if code == 0:
        return "markup" if _has_markup(file.parent) else ""
    if code not in (1, 2) or (not err.startswith("error: ") and "\nerror: " not in err):
        return f"exit {code}"
    if "\nhint: " not in err:
        return "no hint"
    message = err[err.index("error: ") : err.index("\nhint: ")]
    if len(message) > LONGEST:
        return "a message without end"
    told = not named or str(file) in message or str(file.parent) in message
    return "" if told else "file not named"


def _has_markup(folder: Path) -> bool:
    pages = [page for page in (folder / "report.html", folder / "README.md") if page.is_file()]
    sizes = {page: page.stat().st_size for page in pages}
    return any(MARKUP.encode() in page.read_bytes() for page in pages if sizes[page] < 1 << 24)


_watching: list[tuple[tuple[str, ...], list[str]]] = []
"""Where files may be opened, and what was seen; empty where nobody watches."""


@contextlib.contextmanager
def _watched(allowed: list[Path]) -> Iterator[list[str]]:
    """Note connections, which are refused, code that is run, and files opened where none should be."""
    roots = (
        *_libraries(allowed[0]),
        *sysconfig.get_paths().values(),
        *(sys.prefix, sys.base_prefix, *map(str, allowed), *(str(p.resolve()) for p in allowed)),
        *("/proc", "/sys", "/dev", "/usr/lib", "/usr/share", "/usr/local/lib", "<"),
        *map(str, _caches()),
    )

    if not _look.installed:
        sys.addaudithook(_look)
        _look.installed = True
    seen: list[str] = []
    _watching.append((roots, seen))
    try:
        yield seen
    finally:
        _watching.clear()


def _libraries(folder: Path) -> Iterator[str]:
    """Where modules come from. An editable install names the root of the disk: that would allow all."""
    for place in sys.path:
        if place and not folder.resolve().is_relative_to(Path(place).resolve()):
            yield str(Path(place).resolve())


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook. Hooks cannot be taken out again: one for the life of the fork."""
    if not _watching:
        return
    roots, seen = _watching[-1]
    if event in CONNECTS and not _is_local(arguments):
        seen.append(f"connected: {event} {arguments!r:.200}")
        raise OSError("no network in this test")
    if event in RUNS:
        seen.append(f"ran: {event} {arguments!r:.200}")
        raise OSError("no processes in this test")
    if event == "open" and isinstance(arguments[0], str):
        path = os.path.realpath(arguments[0]) if os.path.sep in arguments[0] else ""
        if path and not path.startswith(roots):
            seen.append(f"opened: {path}")


_look.installed = False


def _is_local(arguments: tuple[Any, ...]) -> bool:
    """Whether a worker process is what is connected to."""
    return getattr(arguments[0], "family", None) == getattr(socket, "AF_UNIX", ...)


def _caches() -> Iterator[Path]:
    """Where matplotlib keeps its fonts."""
    with contextlib.suppress(ImportError):
        import matplotlib

        yield Path(matplotlib.get_cachedir())
        yield Path(matplotlib.get_configdir())
