"""Tests against mutants: pytest collects once, then forks; a fork puts the mutant's functions in and runs.

Nothing is written to the package. What a test starts as a program of its own does not see the mutant.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest
from mutations import Mutant

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = [
    *("-q", "-s", "-p", "no:xdist", "-p", "no:cacheprovider", "-m", "not slow"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of what was imported before
]
HEAVY = ("accelerate", "hypothesis", "safetensors.torch", "timm", "torch", "torchvision")
SLOWEST = 5.0
"""Processor seconds, while traced: tests that take longer are left out."""


def preload() -> None:
    """Import what takes long and is no part of this package; hypothesis does the same each time."""
    for name in HEAVY:
        importlib.import_module(name)
    from hypothesis import HealthCheck, Phase, settings

    settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    settings.load_profile("mutants")


# Forks


def forked(work: Callable[[], None], cpu: float) -> str:
    """Do `work` in a process of its own. Returns "" if it ended, "failed" if it raised, or how it died.

    It dies after `cpu` seconds of processor time, or ten times that by the clock.
    """
    sys.stdout.flush()
    folder = Path(tempfile.mkdtemp(prefix="mutant-"))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu) + 1, int(cpu) + 2))
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
            os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            _stay_inside(folder)
            work()
            code = 0
        finally:
            os._exit(code)
    until, status = time.monotonic() + 10 * cpu + 60, 0
    while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < until:
        time.sleep(0.005)
    status = ended[1]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not ended[0]:
        os.waitpid(child, 0)
        status = signal.SIGKILL
    shutil.rmtree(folder, ignore_errors=True)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return "failed" if status else ""


def _stay_inside(folder: Path) -> None:
    """A mutant may delete or move nothing that is not its own."""
    inside = (str(folder), "/dev/shm", "/tmp/torchinductor")

    def look(event: str, given: tuple[Any, ...]) -> None:
        if event not in {"os.remove", "os.rmdir", "os.rename", "shutil.rmtree", "shutil.move"}:
            return
        relative = isinstance(given[0], int) or (isinstance(given[-1], int) and given[-1] > 0)
        path = "" if relative else str(Path(os.fsdecode(given[0])).absolute())
        if not relative and not path.startswith(inside):  # relative: to an open folder
            raise PermissionError(f"{event} {path}")

    sys.addaudithook(look)


# Pytest


ran_at_import: set[tuple[str, int, str]] = set()
"""(file, first line, name) of the package's functions that were called while tests were collected."""
PACKAGE = str(ROOT / "binarize")


def _note_call(frame: FrameType, event: str, _: Any) -> None:
    code = frame.f_code
    if code.co_filename.startswith(PACKAGE):
        ran_at_import.add((code.co_filename, code.co_firstlineno, code.co_name))


class Collected:
    """A pytest plugin: has the collected tests taken in hand by `work`, instead of run."""

    def __init__(self, work: Callable[[list[pytest.Item]], None]) -> None:
        self.work, self.failed = work, ""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        sys.settrace(None)
        self.work(session.items)
        return True


def collect(paths: Sequence[str], work: Callable[[list[pytest.Item]], None]) -> None:
    """Collect the tests in `paths` and do `work` with them."""
    sys.settrace(_note_call)
    temporary = tempfile.mkdtemp(prefix="mutants-")
    try:
        code = pytest.main(
            [*OPTIONS, f"--basetemp={temporary}/base", *paths], plugins=[Collected(work)]
        )
        if code not in (0, 5):
            raise SystemExit(f"pytest ended with {code}")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class Stop(Exception):
    """A test failed."""


def run(
    items: Sequence[pytest.Item], before: Callable[[pytest.Item], None] = lambda _: None
) -> None:
    """Run tests in this order. Raises Stop at the first that fails."""
    config = items[0].config
    failed: list[str] = []

    class Watch:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                failed.append(report.nodeid)

    watch = Watch()
    config.pluginmanager.register(watch)
    config._tmp_path_factory._basetemp = Path(tempfile.mkdtemp())  # type: ignore[attr-defined]
    try:
        for item, following in zip(items, [*items[1:], None], strict=True):
            before(item)
            config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if failed:
                raise Stop(failed[0])
    finally:
        config.pluginmanager.unregister(watch)


# Which tests run which line


def trace(
    items: list[pytest.Item], files: Sequence[str], cpu: float
) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """(test file, {test: {"seconds", "lines": {file: lines}}}), each file in a fork; only tests that pass."""
    by_file: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        by_file[item.nodeid.partition("::")[0]].append(item)
    for name, own in by_file.items():
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            to = Path(folder) / "lines.jsonl"
            end = forked(lambda own=own, to=to: _trace(own, files, to), cpu)
            lines = (
                [json.loads(line) for line in to.read_text().splitlines()] if to.exists() else []
            )
        print(
            f"traced {name}: {len(lines)} of {len(own)}, {time.monotonic() - start:.0f} s {end}",
            flush=True,
        )
        yield name, {line.pop("test"): line for line in lines}


def _trace(items: list[pytest.Item], files: Sequence[str], to: Path) -> None:
    """Fixtures of wider scope count for every test that asks for them."""
    whole = {str(ROOT / file): file for file in files}
    lines: dict[str, set[int]] = defaultdict(set)
    shared: dict[str, dict[str, set[int]]] = {}

    def on_line(frame: FrameType, event: str, _: Any) -> Any:
        lines[whole[frame.f_code.co_filename]].add(frame.f_lineno)
        return on_line

    def on_call(frame: FrameType, event: str, _: Any) -> Any:
        return on_line(frame, event, _) if frame.f_code.co_filename in whole else None

    class Fixtures:
        @pytest.hookimpl(hookwrapper=True)
        def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
            before = {file: set(known) for file, known in lines.items()}
            lines.clear()
            yield
            if fixturedef.scope != "function":
                shared[fixturedef.argname] = {file: set(known) for file, known in lines.items()}
            for file, known in before.items():
                lines[file] |= known

    def too_long(*_: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGPROF, too_long)
    items[0].config.pluginmanager.register(Fixtures())
    with to.open("a") as out:
        for item in items:
            lines.clear()
            start = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, SLOWEST)
            sys.settrace(on_call)
            try:
                run([item], lambda _: sys.settrace(on_call))
            except (Stop, TimeoutError):
                continue
            finally:
                sys.settrace(None)
                signal.setitimer(signal.ITIMER_PROF, 0)
            seconds = time.process_time() - start
            for name in getattr(item, "fixturenames", ()):
                for file, known in shared.get(name, {}).items():
                    lines[file] |= known
            of_file = {file: sorted(known) for file, known in lines.items()}
            out.write(
                json.dumps({"test": item.nodeid, "seconds": round(seconds, 3), "lines": of_file})
                + "\n"
            )
            out.flush()


# Mutants in place


class Functions:
    """All functions that there are, by file, first line and name."""

    def __init__(self) -> None:
        gc.unfreeze()
        self.found: dict[tuple[str, int, str], list[FunctionType]] = defaultdict(list)
        for each in gc.get_objects():
            if type(each) is FunctionType:  # isinstance asks lazy objects for their class
                code = each.__code__
                self.found[code.co_filename, code.co_firstlineno, code.co_name].append(each)
        gc.collect()
        gc.freeze()

    def of(self, mutant: Mutant) -> list[FunctionType]:
        """What has to be exchanged for a mutant; nothing where it must be imported."""
        if mutant.function is None:
            return []
        name, line = mutant.function
        key = (str(ROOT / mutant.file), line, name)
        return [] if key in ran_at_import else self.found.get(key, [])


def put_in(mutant: Mutant, functions: Sequence[FunctionType]) -> None:
    """Give the functions the code that the mutant has for them."""
    name, line = mutant.function or ("", 0)
    whole = compile(mutant.text, str(ROOT / mutant.file), "exec", dont_inherit=True)
    (code,) = [
        code for code in _codes(whole) if (code.co_name, code.co_firstlineno) == (name, line)
    ]
    for function in functions:
        function.__code__ = code


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


class Importer(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Imports the mutant in its module's place."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        parts = list(Path(mutant.file).with_suffix("").parts)
        self.package = parts[-1] == "__init__"
        super().__init__(".".join(parts[: -1 if self.package else None]), str(ROOT / mutant.file))

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        if fullname != self.name:
            return None
        folder = [str(Path(self.path).parent)] if self.package else None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=self, submodule_search_locations=folder
        )

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.mutant.text, self.path, "exec", dont_inherit=True)
