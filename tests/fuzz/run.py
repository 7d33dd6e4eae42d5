"""What do the commands make of files that are damaged, odd, or written by an enemy?

    python tests/fuzz/run.py [NAME ...] [--count N | --short] [--seed 0] [--first K] [--dry]

Runs the fuzzers of this folder, or those that are named, at their full length or with `--count` cases, each
case in a fork (forks.py). Prints every case that is worse than "fine" or "refused" and a line of counts;
adds a JSON line for every 100 cases to benchmarks/results/fuzz.jsonl, so that Ctrl-C loses nothing: `--first`
continues. Exits with 1 if anything was worse.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a fork has no threads

import fuzzers
from forks import KINDS, Outcome

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from result_lines import append

EVERY = 100


@dataclass
class Tally:
    """How the cases from `first` on ended."""

    fuzzer: str
    seed: int
    first: int
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest: float = 0.0

    def add(self, outcome: Outcome) -> None:
        self.kinds[outcome.kind] += 1
        self.seconds += outcome.seconds
        self.slowest = max(self.slowest, outcome.seconds)

    def write(self) -> None:
        """A line of the results, and a new tally from the next case on."""
        cases = self.kinds.total()
        if not cases:
            return
        line = {
            "question": "damaged, odd and hostile files: fine, refused, anything worse",
            **{"fuzzer": self.fuzzer, "seed": self.seed, "first": self.first, "cases": cases},
            **{kind: self.kinds[kind] for kind in KINDS},
            "cpu_seconds": round(self.seconds),
            "slowest_seconds": round(self.slowest, 1),
        }
        append("fuzz", line)
        self.first, self.kinds, self.seconds, self.slowest = self.first + cases, Counter(), 0.0, 0.0


def run(name: str, given: argparse.Namespace) -> bool:
    """Whether all cases of a fuzzer were fine or refused."""
    fuzzer = fuzzers.module(name)
    count = given.count or (fuzzer.SHORT if given.short else fuzzer.COUNT)
    whole, part = (Tally(name, given.seed, given.first) for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        try:
            cases = fuzzers.outcomes(name, count, given.seed, Path(folder), given.first)
            for number, case, outcome in cases:
                whole.add(outcome)
                part.add(outcome)
                if not outcome.good:
                    show(name, number, case.name, outcome.kind, outcome.words)
                if (number + 1) % EVERY == 0:
                    print(f"{name} {number + 1} of {count}", file=sys.stderr, flush=True)
                    if not given.dry:
                        part.write()
        except KeyboardInterrupt:
            following = given.first + whole.kinds.total()
            print(f"to continue: {name} --seed {given.seed} --first {following}", file=sys.stderr)
            raise
        finally:
            if not given.dry:
                part.write()
            ends = ", ".join(f"{whole.kinds[kind]} {kind}" for kind in KINDS)
            print(f"{name}, {ends}, {whole.seconds:.0f} CPU seconds", flush=True)
    return not any(whole.kinds[kind] for kind in KINDS[2:])


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def show(name: str, number: int, case: str, kind: str, words: str) -> None:
    """A case that is worse than refused, with the command's last words."""
    print(f"\n{kind}: {name} {number}, {case.encode('unicode_escape').decode()[:300]}")
    words = words.strip()
    shown = words if len(words) < 1500 else f"{words[:300]}\n…\n{words[-1100:]}"
    for line in shown.splitlines():
        print("    " + line.encode("unicode_escape").decode(), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(fuzzers.names())}")
    parser.add_argument("--count", type=int, help="of cases of each (default: its COUNT)")
    parser.add_argument("--short", action="store_true", help="its SHORT, of the tests")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="continue with this case")
    parser.add_argument("--dry", action="store_true", help="print only, write no line")
    given = parser.parse_args()
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # also in the background, where a shell ignores Ctrl-C
        signal.signal(number, interrupt)
    for name in given.names:
        if name not in fuzzers.names():
            parser.error(f'no fuzzer "{name}": there are {", ".join(fuzzers.names())}')
    good = [run(name, given) for name in given.names or fuzzers.names()]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
