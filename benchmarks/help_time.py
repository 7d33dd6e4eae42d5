"""How long does `binarize --help` take, and each command's? The limit is half a second.

    python benchmarks/help_time.py

Every help is shown in a fresh process, the median of `REPEATS` counts. One JSON line is added to
benchmarks/results/help_time.jsonl. Exits with 1 where a help takes longer than the limit.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from result_lines import append

from binarize.cli import app

LIMIT = 0.5  # seconds
REPEATS = 5


def commands() -> list[tuple[str, ...]]:
    """Everything that has a --help: the program, its commands, its groups and theirs."""
    nested = [(group, verb) for group, module in app.GROUPS.items() for verb in module.COMMANDS]
    return [(), *((name,) for name in (*app.COMMANDS, *app.GROUPS)), *nested]


def seconds(command: tuple[str, ...]) -> float:
    """Median wall time of the command's --help in a process of its own."""
    line = [sys.executable, "-m", "binarize", *command, "--help"]
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main() -> int:
    measured = {" ".join(("binarize", *command)): seconds(command) for command in commands()}
    for name, time_taken in measured.items():
        print(f"{time_taken:.3f} s  {name} --help")
    slowest = max(measured, key=measured.__getitem__)
    result = {
        "question": "seconds until --help is shown, median of fresh processes",
        "limit": LIMIT,
        "repeats": REPEATS,
        "slowest": {"command": slowest, "seconds": round(measured[slowest], 3)},
        "seconds": {name: round(value, 3) for name, value in measured.items()},
    }
    append("help_time", result)
    print(f"slowest: {slowest}, {measured[slowest]:.3f} s of {LIMIT} s")
    return int(measured[slowest] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
