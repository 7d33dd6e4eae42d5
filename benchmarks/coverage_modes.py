"""The ways of converting that are covered, and what each asks of a model."""

from __future__ import annotations

from dataclasses import fields

from coverage_lines import Line

from binarize.rewrite import Options

RELU_FED = 0.5
"""Share of a model's layers that a ReLU feeds, from which on ±1 activations with block surgery are tried."""

MODES = {
    "W1A32": {},
    "W1A1 step": {"activations": "step"},
    "W1A1 sign bireal": {"activations": "sign", "structure": "bireal"},
}

STAGES = ("convert", "write", "load", "export", "runtime", "train", "resume")
"""What levels 2 and 3 do with a model in a mode."""


def options(mode: str) -> Options:
    """The stem is kept, whatever the image: what is covered is the model as the library makes it."""
    return Options(stem="keep", **MODES[mode])


def available() -> list[str]:
    """The modes that `Options` knows."""
    known = {field.name for field in fields(Options)}
    return [mode for mode, given in MODES.items() if known.issuperset(given)]


def applies(mode: str, line: Line) -> bool:
    """Whether a mode is asked of the model of a level 1 line."""
    return mode != "W1A1 sign bireal" or line.get("sources", {}).get("relu", 0.0) >= RELU_FED


def passed(outcome: Line) -> bool:
    """Whether a mode's outcome, or every stage in it, is without an error."""
    parts = [outcome, *(outcome.get(stage, {}) for stage in STAGES)]
    return not any("error" in part for part in parts)


def in_words(outcome: Line) -> str:
    """`passed`, or what went wrong first."""
    for stage, part in [("", outcome), *((s, outcome.get(s, {})) for s in STAGES)]:
        if "error" in part:
            return f"{stage + ': ' if stage else ''}{part['error']}: {part['reason']}"
    return "passed"
