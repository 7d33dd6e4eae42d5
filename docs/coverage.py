"""Write docs/coverage.md from the lines of benchmarks/coverage.py: `python docs/coverage.py`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from binarize.run import write_text

PAGE = Path(__file__).with_suffix(".md")
sys.path.append(str(PAGE.parents[1] / "benchmarks"))

from coverage_lines import LEVEL1, LEVEL2, LEVEL3, MODELS, entries  # noqa: E402
from coverage_modes import MODES, in_words, passed  # noqa: E402

Lines = dict[str, dict[str, Any]]


PAGE_TEXT = """\
# Coverage

Every classification model of timm and torchvision, converted; a choice of them trained, exported and
run. This page is written by `python docs/coverage.py` from the lines that
`python benchmarks/coverage.py` appends to `benchmarks/results/coverage-*.jsonl`.
{measured}

## Totals

{totals}

Level 1 is every model, as the library makes it, on tensors without data: it builds, converts, and at
two batch sizes exactly the layers that are reported as binarized run through a binary weight. Level 2
is the smallest model of each module and of each further class signature, with random weights:
conversion that leaves the outputs as they were with binarization off, export, the parity gate, stock
onnxruntime at batch 1, 2 and 3, and an SGD step with finite gradients. `W1A1 sign bireal` is asked
in level 2 of models with half of their layers or more fed by ReLU. Level 3 is the smallest model of each
class in each module by way of a run on disk: every tensor of the loaded module, saved or not, is to the
bit what was written, and so are its logits, and its weights after a training step.

## What does not pass

{failures}

## What is kept float, and why

{reasons}

## Level 1 by module

Models that convert / models measured, and the share of all layers that became binary in `W1A32`.

{modules}

## Level 2

The largest difference between onnxruntime and torch, relative to the largest logit, over the three
batch sizes; or the stage that failed.

{choice}
"""


def page(models: Lines, level1: Lines, level2: Lines, level3: Lines) -> str:
    """The page, for the entries of the four files of lines."""
    parts = {
        "totals": _totals(models, level1, level2, level3),
        "failures": _failures(level1, level2, level3),
        "reasons": _reasons(level1),
        "modules": _modules(level1),
        "choice": _choice(level2),
    }
    measured = _measured([*level1.values(), *level2.values(), *level3.values()])
    texts = {name: "\n".join(lines) for name, lines in parts.items()}
    return PAGE_TEXT.format(measured=measured, **texts)


def _measured(lines: Iterable[dict[str, Any]]) -> str:
    """When, on what and with which versions the lines were made."""
    lines = list(lines)
    if not lines:
        return "Nothing is measured yet."
    dates = sorted({line["date"] for line in lines})
    cpus = sorted({line["cpu"] for line in lines})
    names = ("torch", "torchvision", "timm", "onnx", "onnxruntime")
    found = {name: sorted({line["versions"][name] for line in lines}) for name in names}
    versions = ", ".join(f"{name} {' and '.join(given)}" for name, given in found.items())
    period = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"Measured {period} on {' and '.join(cpus)}, one thread, with {versions}."


def _totals(models: Lines, level1: Lines, level2: Lines, level3: Lines) -> list[str]:
    rows = []
    for mode in MODES:
        counts = [_passing(level, mode) for level in (level1, level2, level3)]
        rows.append((f"`{mode}`", *(f"{good} of {tried}" for good, tried in counts)))
    head = ("mode", f"level 1, of {len(models)} models: convert", "level 2: pass", "level 3: pass")
    return _table(head, rows)


def _passing(lines: Lines, mode: str) -> tuple[int, int]:
    """(how many passed, how many were tried) in a mode."""
    outcomes = [line["modes"][mode] for line in lines.values() if mode in line["modes"]]
    return sum(map(passed, outcomes)), len(outcomes)


def _failures(*levels: Lines) -> list[str]:
    """One line per model, mode and level that failed."""
    found = [
        f"- level {level}, `{name}`, `{mode}`: {_short(in_words(outcome))}{_float(outcome)}"
        for level, lines in enumerate(levels, 1)
        for name, line in lines.items()
        for mode, outcome in line["modes"].items()
        if not passed(outcome)
    ]
    return found or ["Nothing."]


def _float(outcome: dict[str, Any]) -> str:
    """What became of the float model where a file failed."""
    if "float" not in outcome:
        return ""
    if "error" not in outcome["float"]:
        return ". The float model exports and runs."
    return f". So does the float model: {_short(in_words(outcome['float']))}"


def _short(words: str, width: int = 160) -> str:
    words = " ".join(words.split())
    return words if len(words) <= width else words[: width - 1] + "…"


def _reasons(level1: Lines) -> list[str]:
    models: Counter[str] = Counter()
    layers: Counter[str] = Counter()
    classes: dict[str, Counter[str]] = {}
    for line in level1.values():
        for reason, by_class in line["modes"].get("W1A32", {}).get("kept", {}).items():
            models[reason] += 1
            layers[reason] += sum(by_class.values())
            classes.setdefault(reason, Counter()).update(by_class)
    rows = [
        (reason, f"{models[reason]:,}", f"{n:,}", _most_common(classes[reason]))
        for reason, n in layers.most_common()
    ]
    return _table(("reason (`W1A32`)", "models", "layers", "classes"), rows)


def _most_common(classes: Counter[str], shown: int = 4) -> str:
    rest = len(classes) - shown
    named = ", ".join(f"`{name}`" for name, _ in classes.most_common(shown))
    return f"{named} and {rest} more" if rest > 0 else named


def _modules(level1: Lines) -> list[str]:
    by_module: dict[str, Lines] = {}
    for name, line in level1.items():
        by_module.setdefault(line["module"], {})[name] = line
    rows = []
    for module, lines in sorted(by_module.items()):
        counts = [_passing(lines, mode) for mode in MODES]
        cells = [f"{good} / {tried}" if tried else "" for good, tried in counts]
        rows.append((f"`{module.replace('.models', '')}`", *cells, _binarized(lines)))
    return _table(("module", *(f"`{mode}`" for mode in MODES), "binary layers"), rows)


def _binarized(lines: Lines) -> str:
    binary = kept = 0
    for line in lines.values():
        outcome = line["modes"].get("W1A32", {})
        binary += sum(outcome.get("binarized", {}).values())
        kept += sum(sum(by_class.values()) for by_class in outcome.get("kept", {}).values())
    return f"{100 * binary / (binary + kept):.0f} %" if binary + kept else ""


def _choice(level2: Lines) -> list[str]:
    rows = []
    for name, line in sorted(level2.items(), key=lambda item: item[1]["module"]):
        sizes = {outcome["image"][-1] for outcome in line["modes"].values() if "image" in outcome}
        size = " and ".join(str(size) for size in sorted(sizes))
        millions = f"{line['parameters'] / 1e6:.1f} M"
        cells = [_cell(line["modes"].get(mode)) for mode in MODES]
        rows.append((f"`{name}`", millions, size, *cells))
    return _table(("model", "parameters", "image", *(f"`{mode}`" for mode in MODES)), rows)


def _cell(outcome: dict[str, Any] | None) -> str:
    if outcome is None:
        return ""
    if not passed(outcome):
        return f"**{in_words(outcome).partition(':')[0]}**"
    return f"{max(outcome['runtime'].values()):.1e}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines]


def from_lines() -> str:
    """The page, for the lines in the repository."""
    return page(entries(MODELS), entries(LEVEL1), entries(LEVEL2), entries(LEVEL3))


def main() -> None:
    write_text(PAGE, from_lines())


if __name__ == "__main__":
    main()
