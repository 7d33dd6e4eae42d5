"""Do the tests see it when the code is wrong?

    python benchmarks/mutants.py [--group export ...] [--size 300] [--seed 0] [--budget 2] [--file weight.py]
    python benchmarks/mutants.py --table

Changes one expression or statement at a time (mutations.py) and runs the tests of the folders that belong to
the code: those that run the changed line, of a test file of the same name first, then the fastest, as many
as fit in the budget of processor seconds (at least one), up to the first that fails. Every verdict is a line
of results/mutants.jsonl. A mutant is not tried again while its file is the same, and it was killed, or has a
reason in mutants_named.yaml, or the tests and the budget are the same.
`--table` prints the scores, and the survivors that have no reason.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

import mutant_tests
import pytest
import yaml
from mutant_groups import GROUPS, Group
from mutant_tests import ROOT
from mutations import Mutant, sample

HERE = Path(__file__).parent
VERDICTS = HERE / "results" / "mutants.jsonl"
NAMED = HERE / "mutants_named.yaml"
CACHE = ROOT / "build" / "mutants"
MOST = 1000  # tests of a mutant that has to be imported
TRACING = 600  # processor seconds of a test file, at most


def digest(*files: Path) -> str:
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.read_bytes())
    return whole.hexdigest()[:12]


# What is known already


def verdicts(first: bool = False) -> dict[str, dict[str, Any]]:
    """The last verdict on each mutant, or the first."""
    lines = VERDICTS.read_text(encoding="utf-8").splitlines() if VERDICTS.exists() else []
    return {line["id"]: line for line in map(json.loads, reversed(lines) if first else lines)}


@functools.cache
def named() -> dict[str, str]:
    """Why some survivors are left, by their ids."""
    whole = yaml.safe_load(NAMED.read_text(encoding="utf-8")) if NAMED.exists() else {}
    return {entry.split()[0]: reason for reason, entries in whole.items() for entry in entries}


def is_known(line: dict[str, Any] | None, mutant: Mutant, tests: str, budget: float) -> bool:
    if line is None or line["source"] != digest(ROOT / mutant.file):
        return False
    known = line["verdict"] == "killed" or mutant.id in named()
    return known or (line["tests"] == tests and line["budget"] >= budget)


def traced(name: str, group: Group) -> dict[str, dict[str, Any]]:
    """What each test of a group runs; kept in build/ for as long as it and the code are the same."""
    CACHE.mkdir(parents=True, exist_ok=True)
    cache = CACHE / f"{name}.json"
    kept = json.loads(cache.read_text()) if cache.exists() else {}
    files = [file.relative_to(ROOT).as_posix() for file in group.files]
    code = digest(*group.files)
    now: dict[str, Any] = {}
    for file in group.test_files:
        helpers = [
            each for each in sorted(file.parent.glob("*.py")) if not each.name.startswith("test_")
        ]
        now[file.relative_to(ROOT).as_posix()] = {
            "key": f"{code} {digest(file, *helpers)}",
            "tests": {},
        }
    missing = [path for path, entry in now.items() if kept.get(path, {}).get("key") != entry["key"]]
    now |= {path: kept[path] for path in now if path not in missing}

    def work(items: list[pytest.Item]) -> None:
        for path, tests in mutant_tests.trace(items, files, TRACING):
            now[path]["tests"] = tests
            cache.write_text(
                json.dumps(
                    {path: now[path] for path in now if path not in missing or now[path]["tests"]}
                )
            )

    if missing:
        in_a_fork(lambda: mutant_tests.collect(missing, work))
        now |= json.loads(cache.read_text())
    return {test: line for entry in now.values() for test, line in entry["tests"].items()}


def in_a_fork(work: Any) -> None:
    """The package must not be imported in this process: the next fork imports a mutant of it."""
    child = os.fork()
    if child == 0:
        try:
            work()
            sys.stdout.flush()
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("the tests could not be collected")


# Which tests are run


def chosen(mutant: Mutant, tests: dict[str, dict[str, Any]], budget: float) -> list[str]:
    """The tests that run what was changed."""
    changed = set(range(mutant.line, mutant.last + 1))
    running = [
        test for test, line in tests.items() if changed & set(line["lines"].get(mutant.file, ()))
    ]
    own = _own(mutant, running)
    return _affordable(_in_turn(tests, own, running), tests, budget)


def chosen_for_import(mutant: Mutant, tests: dict[str, dict[str, Any]], budget: float) -> list[str]:
    """The tests for what is run while the file is imported: its own, those that run the file, and any."""
    running = [test for test, line in tests.items() if mutant.file in line["lines"]]
    everything = sorted(tests)
    placed = _in_turn(tests, _own(mutant, everything), running, everything)
    return _affordable(placed, tests, budget)[:MOST]


def _own(mutant: Mutant, names: list[str]) -> list[str]:
    """Those of the test file that is called as the mutant's file is."""
    ending = f"_{Path(mutant.file).stem}.py"
    return [name for name in names if name.partition("::")[0].endswith(ending)]


def _in_turn(tests: dict[str, dict[str, Any]], *groups: list[str]) -> list[str]:
    """One group after the other, each test once."""
    placed: dict[str, None] = {}
    for names in groups:
        placed |= dict.fromkeys(_by_turns([name for name in names if name not in placed], tests))
    return list(placed)


def _affordable(names: list[str], tests: dict[str, dict[str, Any]], budget: float) -> list[str]:
    taken: list[str] = []
    for test in names:
        if tests[test]["seconds"] <= budget or not taken:
            taken.append(test)
            budget -= tests[test]["seconds"]
    return taken


def _by_turns(names: list[str], tests: dict[str, dict[str, Any]]) -> list[str]:
    """The fastest first; one of each function before the next values of its parameters."""
    turn: dict[str, int] = defaultdict(int)
    placed = []
    for name in sorted(names, key=lambda name: (tests[name]["seconds"], name)):
        function = name.partition("[")[0]
        placed.append((turn[function], tests[name]["seconds"], name))
        turn[function] += 1
    return [name for *_, name in sorted(placed)]


# Trying


class Trial:
    """The mutants of a group, tried."""

    def __init__(self, name: str, budget: float) -> None:
        self.name, self.budget = name, budget
        self.tests = traced(name, GROUPS[name])
        self.test_hash = digest(*GROUPS[name].test_files)
        self.done = 0

    def try_all(self, mutants: list[Mutant]) -> None:
        """Those first that need no import."""
        self.all = len(mutants)
        inside = [mutant for mutant in mutants if mutant.function is not None]
        left: list[Mutant] = []
        if inside:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "left.json"

                def work(items: list[pytest.Item]) -> None:
                    out.write_text(
                        json.dumps([mutant.id for mutant in self.in_place(inside, items)])
                    )

                paths = {
                    test.partition("::")[0]
                    for mutant in inside
                    for test in chosen(mutant, self.tests, self.budget)
                }
                if paths:
                    in_a_fork(lambda: mutant_tests.collect(sorted(paths), work))
                    again = set(json.loads(out.read_text()))
                    left = [mutant for mutant in inside if mutant.id in again]
                else:
                    left = inside
        for mutant in [*left, *(mutant for mutant in mutants if mutant.function is None)]:
            self.imported(mutant)

    def in_place(self, mutants: list[Mutant], items: list[pytest.Item]) -> list[Mutant]:
        """Try those whose functions can be exchanged. Returns the others."""
        by_name = {item.nodeid: item for item in items}
        functions, left = mutant_tests.Functions(), []
        for mutant in mutants:
            own = functions.of(mutant)
            if not own:
                left.append(mutant)
                continue
            tests = [test for test in chosen(mutant, self.tests, self.budget) if test in by_name]

            def work(
                note: Path, mutant: Mutant = mutant, own: Any = own, tests: Any = tests
            ) -> None:
                mutant_tests.put_in(mutant, own)
                run(note, [by_name[test] for test in tests])

            self.tell(mutant, tests, work)
        return left

    def imported(self, mutant: Mutant) -> None:
        """Try one in a process that imports it."""
        tests = chosen(mutant, self.tests, self.budget) if mutant.function else []
        tests = tests or chosen_for_import(mutant, self.tests, self.budget)
        paths = sorted({test.partition("::")[0] for test in tests})

        def work(note: Path) -> None:
            sys.meta_path.insert(0, mutant_tests.Importer(mutant))
            note.write_text("collection")

            def those(items: list[pytest.Item]) -> None:
                by_name = {item.nodeid: item for item in items}
                note.write_text("")
                run(note, [by_name[test] for test in tests if test in by_name])

            mutant_tests.collect(paths, those)

        self.tell(mutant, tests, work, 10)

    def tell(self, mutant: Mutant, tests: list[str], work: Any, more: float = 0) -> None:
        """Write down what comes of it."""
        start = time.monotonic()
        usual = sum(self.tests[test]["seconds"] for test in tests)
        with tempfile.TemporaryDirectory() as folder:
            note = Path(folder) / "note"
            end = mutant_tests.forked(lambda: work(note), 4 * usual + 10 + more) if tests else ""
            by = note.read_text() if note.exists() else ""
        line = {
            "group": self.name,
            "id": mutant.id,
            "file": mutant.file,
            "line": mutant.line,
            "change": mutant.change,
            "verdict": "killed" if end or by else "survived",
            "by": by if end in ("", "failed") else f"{end} {by}".strip(),
            "of": len(tests),
            "source": digest(ROOT / mutant.file),
            "tests": self.test_hash,
            "budget": self.budget,
        }
        with VERDICTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.done += 1
        seconds = time.monotonic() - start
        what = f"{mutant.file}:{mutant.line} {mutant.change}"
        print(
            f"{self.done}/{self.all} {line['verdict']} {seconds:.1f} s {what} by {line['by']}",
            flush=True,
        )


def run(note: Path, items: list[pytest.Item]) -> None:
    try:
        mutant_tests.run(items, lambda item: note.write_text("") and None)
    except mutant_tests.Stop as stop:
        note.write_text(str(stop))


# Reading


def table(size: int, seed: int) -> None:
    """Print the scores and the survivors that have no reason."""
    first, last, reasons = verdicts(first=True), verdicts(), named()
    print(
        "| group | mutants | killed at first | killed now | survivors with a reason | without | score |"
    )
    print("|---|---|---|---|---|---|---|")
    left = []
    for name, group in GROUPS.items():
        ids = [each.id for each in sample(group.files, ROOT, size, seed) if each.id in last]
        before = sum(first[each]["verdict"] == "killed" for each in ids)
        alive = [last[each] for each in ids if last[each]["verdict"] != "killed"]
        unexplained = [line for line in alive if line["id"] not in reasons]
        killed, left = len(ids) - len(alive), left + unexplained
        counts = f"{len(ids)} | {before} | {killed} | {len(alive) - len(unexplained)} | {len(unexplained)}"
        print(f"| {name} | {counts} | {_per_cent(before, ids)} -> {_per_cent(killed, ids)} |")
    for line in sorted(left, key=lambda line: (line["group"], line["file"], line["line"])):
        print(f"{line['id']} {line['file']}:{line['line']} {line['change']} ({line['of']} tests)")


def _per_cent(part: int, whole: Sequence[Any]) -> str:
    return f"{100 * part / max(1, len(whole)):.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--group", action="append", choices=GROUPS)
    parser.add_argument("--size", type=int, default=300, help="mutants of each group")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--budget", type=float, default=2.0, help="processor seconds of tests for a mutant"
    )
    parser.add_argument(
        "--file", nargs="+", default=[""], help="only of files whose path has one of these"
    )
    parser.add_argument("--table", action="store_true", help="only print what is known")
    given = parser.parse_args()
    if not given.table:
        mutant_tests.preload()
        for name in given.group or GROUPS:
            trial, known = Trial(name, given.budget), verdicts()
            chosen_ones = sample(GROUPS[name].files, ROOT, given.size, given.seed)
            print(f"{name}: {len(chosen_ones)} mutants, {len(trial.tests)} tests", flush=True)
            trial.try_all(
                [
                    mutant
                    for mutant in chosen_ones
                    if any(part in mutant.file for part in given.file)
                    and not is_known(known.get(mutant.id), mutant, trial.test_hash, given.budget)
                ]
            )
    table(given.size, given.seed)


if __name__ == "__main__":
    main()
