"""Does every model of timm and torchvision convert, and does a choice of them train, export and run?

    python benchmarks/coverage.py [--level 1|2|3] [--mode MODE]... [--covering] [--failed] [--again]
        [--no-export] [--memory GB] [MODEL]...

Level 1 takes every classification model of both libraries, on tensors without data: it builds, converts,
and what is executed is what is reported (see coverage_level1). Level 2 takes the smallest model of each
module and of each further class signature that level 1 found, with weights: conversion with all its
gates, a training step, export, stock onnxruntime (see coverage_level2). Level 3 takes the smallest model
of each class in each module by way of a run on disk: written, loaded, exported (see coverage_level3).
Without --level: all three.

One JSON line per model is appended to results/coverage-tier1.jsonl, one per model and mode to
results/coverage-tier2.jsonl and -tier3.jsonl, as it is measured. What stands there is not measured again, so
a run can be stopped at any time and started again. `python docs/coverage.py` makes docs/coverage.md of the
lines.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import coverage_level1
import coverage_level2
import coverage_level3
import torch
from coverage_lines import LEVEL1, LEVEL2, LEVEL3, MODELS, Line, append, entries
from coverage_models import (
    describe,
    in_turn,
    level2_models,
    level3_models,
    names,
    smallest_of_modules,
)
from coverage_modes import MODES, applies, available, in_words, passed
from coverage_worker import Worker, serve

ANSWERS: dict[str, Callable[[Line], Line]] = {
    "describe": lambda job: describe(job["model"]),
    "1": coverage_level1.measure,
    "2": coverage_level2.measure,
    "3": coverage_level3.measure,
}
SECONDS = {"describe": 300, "1": 900, "2": 3600, "3": 3600}
"""After which a job is ended; many times what it takes, for a machine that does other things too."""
ABOUT = ("model", "library", "module", "class", "parameters")
RESULTS = {"1": LEVEL1, "2": LEVEL2, "3": LEVEL3}
CHOICES = {"2": level2_models, "3": level3_models}
"""Which models of those that level 1 knows are taken, in order."""


def main(arguments: list[str]) -> None:
    given = parser().parse_args(arguments)
    if given.worker:
        torch.set_num_threads(1)
        serve(ANSWERS[given.worker], given.memory << 30)
        return
    inventory(given.model or names())
    if given.level in (None, "1"):
        level1(given)
    for level in CHOICES:
        if given.level in (None, level):
            choice(level, given)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="*", help="only these")
    parser.add_argument("--level", choices=RESULTS, help="only this one")
    parser.add_argument("--mode", action="append", choices=MODES, help="only these")
    parser.add_argument("--covering", action="store_true", help="only the smallest of each module")
    parser.add_argument("--failed", action="store_true", help="once more what failed")
    parser.add_argument("--again", action="store_true", help="once more whatever stands there")
    parser.add_argument(
        "--no-export", dest="export", action="store_false", help="level 3 without its longest stage"
    )
    parser.add_argument("--memory", type=int, default=8, help="GB that a process may take")
    parser.add_argument("--worker", choices=ANSWERS, help=argparse.SUPPRESS)
    return parser


def inventory(wanted: list[str]) -> None:
    """Describe the models that are not described yet."""
    known = entries(MODELS)
    with worker("describe") as process:
        for name in wanted:
            if "parameters" not in known.get(name, {}):
                append(MODELS, {"model": name} | process.ask({"model": name}, SECONDS["describe"]))


def level1(given: argparse.Namespace) -> None:
    """The smallest of each module, then the next of each: what is wrong with a class is seen early."""
    described = {name: line for name, line in entries(MODELS).items() if "parameters" in line}
    order = (smallest_of_modules if given.covering else in_turn)(described.values())
    known = entries(LEVEL1)
    with worker("1", given.memory) as process:
        for name in given.model or order:
            modes = [mode for mode in wanted(given) if is_due(given, known.get(name), mode)]
            if modes:
                measure(process, "1", described[name], modes)


def choice(level: str, given: argparse.Namespace) -> None:
    """Level 2 or 3: each mode of a model a job of its own."""
    described = entries(LEVEL1)
    order = (smallest_of_modules if given.covering else CHOICES[level])(described.values())
    known = entries(RESULTS[level])
    with worker(level, given.memory) as process:
        for name in given.model or order:
            for mode in wanted(given):
                if applies(mode, described[name]) and is_due(given, known.get(name), mode):
                    measure(process, level, described[name], [mode], given.export)


def wanted(given: argparse.Namespace) -> list[str]:
    return [mode for mode in available() if mode in (given.mode or MODES)]


def is_due(given: argparse.Namespace, known: Line | None, mode: str) -> bool:
    """Whether a model has to be measured in that mode."""
    outcome = (known or {}).get("modes", {}).get(mode)
    return given.again or outcome is None or (given.failed and not passed(outcome))


def measure(
    process: Worker, level: str, described: Line, modes: list[str], exported: bool = True
) -> None:
    """Ask for one line, append it and say how it went."""
    began = time.monotonic()
    job = {"model": described["model"], "modes": modes, "export": exported}
    answer = process.ask(job, SECONDS[level] * len(modes))
    if "modes" not in answer:
        answer = {"modes": dict.fromkeys(modes, answer)}
    about = {key: described[key] for key in ABOUT}
    line = {**about, **answer, "seconds": round(time.monotonic() - began, 1)}
    append(RESULTS[level], line)
    words = ", ".join(f"{mode}: {in_words(outcome)}" for mode, outcome in line["modes"].items())
    print(f"{line['model']} ({line['seconds']} s): {words}", file=sys.stderr, flush=True)


def worker(kind: str, memory: int = 8) -> Worker:
    return Worker([sys.executable, __file__, "--worker", kind, "--memory", str(memory)])


if __name__ == "__main__":
    main(sys.argv[1:])
