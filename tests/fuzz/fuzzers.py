"""The fuzzers: each file `fuzz_NAME.py` of this folder is one. It defines

    COUNT               cases of the long run
    SHORT               cases of the run in `make test`, a couple of CPU seconds
    cases(count, seed, folder) -> Iterator[Case]
                        the same `count` cases for a seed, made when they are asked for; `folder` is an empty
                        one that stays until the last case has run, for what is made once

and says in the first line of its docstring whose parser it tries.
"""

from __future__ import annotations

import functools
import gc
import importlib
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from forks import Outcome, in_fork


@dataclass(frozen=True)
class Case:
    """One thing to try.

    Attributes:
        name: what is wrong with it, in words.
        check: tries it in a fork; is given a folder that is removed afterwards, where `tmp` is for
            temporary files.
    """

    name: str
    check: Callable[[Path], Outcome]


def names() -> list[str]:
    """Of all fuzzers."""
    return sorted(
        file.stem.removeprefix("fuzz_") for file in Path(__file__).parent.glob("fuzz_*.py")
    )


def module(name: str) -> ModuleType:
    return importlib.import_module(f"fuzz_{name}")


def outcomes(
    name: str, count: int, seed: int, folder: Path, first: int = 0
) -> Iterator[tuple[int, Case, Outcome]]:
    """(number, case, outcome) of the cases `first`, …, `count` - 1 of a fuzzer."""
    made, work = folder / "made", folder / "work"
    made.mkdir(parents=True)
    cases = enumerate(module(name).cases(count, seed, made))
    for number, case in itertools.islice(cases, first, None):
        if number == first:
            gc.collect()
            gc.freeze()  # a fork need not copy what the collector would touch
        (work / "tmp").mkdir(parents=True)
        yield number, case, in_fork(functools.partial(_check, case, work))
        shutil.rmtree(work)


def _check(case: Case, work: Path) -> Outcome:
    """In the fork, whose temporary files are in `work` too."""
    tempfile.tempdir = str(work / "tmp")
    return case.check(work)
