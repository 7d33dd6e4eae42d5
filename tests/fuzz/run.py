"""What do the commands make of files that are damaged, odd, or written by an enemy?

    python tests/fuzz/run.py [NAME ...] [--count N | --short] [--seed 0] [--first K] [--dry]

Runs the fuzzers of this folder, or those that are named, at their full length or with `--count` cases, each
case in a fork (forks.py). Prints every case that is worse than "fine" or "refused" and a line of counts;
adds a JSON line for each fuzzer to benchmarks/results/fuzz.jsonl, also of a run that Ctrl-C ended: `--first`
continues it. Exits with 1 if anything was worse.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a fork has no threads

import fuzzers
from forks import KINDS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from result_lines import append


def run(name: str, given: argparse.Namespace) -> bool:
    """Whether all cases of a fuzzer were fine or refused."""
    fuzzer = fuzzers.module(name)
    count = given.count or (fuzzer.SHORT if given.short else fuzzer.COUNT)
    kinds: Counter[str] = Counter()
    seconds, slowest, number = 0.0, 0.0, given.first - 1
    with tempfile.TemporaryDirectory() as folder:
        try:
            cases = fuzzers.outcomes(name, count, given.seed, Path(folder), given.first)
            for number, case, outcome in cases:
                kinds[outcome.kind] += 1
                seconds += outcome.seconds
                slowest = max(slowest, outcome.seconds)
                if not outcome.good:
                    show(name, number, case.name, outcome.kind, outcome.words)
                if sys.stderr.isatty() or (number + 1) % 100 == 0:
                    print(f"\r{name} {number + 1} of {count} ", end="", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            print(f"\nafter this: {name} --seed {given.seed} --first {number + 1}", file=sys.stderr)
            raise
        finally:
            print(file=sys.stderr)
            line = {
                "question": "damaged, odd and hostile files: fine, refused, anything worse",
                "fuzzer": name,
                "seed": given.seed,
                "first": given.first,
                "cases": number + 1 - given.first,
                **{kind: kinds[kind] for kind in KINDS},
                "cpu_seconds": round(seconds),
                "slowest_seconds": round(slowest, 1),
            }
            if kinds and not given.dry:
                append("fuzz", line)
            print(
                name,
                *(f"{kinds[kind]} {kind}" for kind in KINDS),
                f"{seconds:.0f} CPU seconds",
                sep=", ",
            )
    return not any(kinds[kind] for kind in KINDS[2:])


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
    for name in given.names:
        if name not in fuzzers.names():
            parser.error(f'no fuzzer "{name}": there are {", ".join(fuzzers.names())}')
    good = [run(name, given) for name in given.names or fuzzers.names()]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
