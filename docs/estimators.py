"""Write the tables and the plots of docs/estimators.md: `python docs/estimators.py`.

They come from the code, and from the comparisons in benchmarks/results/cifar10-estimators.
"""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from binarize.estimators import TABLE
from binarize.estimators.indicators import distance_to_sign, gradient_variance
from binarize.run import write_text

PAGE = Path(__file__).with_suffix(".md")
RESULTS = PAGE.parents[1] / "benchmarks" / "results" / "cifar10-estimators"
PROGRESS = (0.0, 0.5, 1.0)


def with_tables(page: str) -> str:
    """The page with every table between its markers made again."""
    for name, table in tables().items():
        begin, end = f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->"
        before, _, rest = page.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"{PAGE} has no markers for the table {name}")
        page = before + begin + table + end + after
    return page


def tables() -> dict[str, str]:
    """The tables by name, in Markdown."""
    kinds = list(TABLE.values())
    estimators = [
        (f"`{k.name}`", f"`{k.formula}`", f"`{k.schedule}`" if k.schedule else "", k.source)
        for k in kinds
    ]
    constants = [
        (f"`{k.name}`", f"`{c.name}`", _default(c.default), f"`{c.range}`", c.meaning)
        for k in kinds
        for c in k.constants()
    ]
    measures = (distance_to_sign, gradient_variance)
    indicators = [
        (f"`{k.name}`", *(f"{measure(k(), p):.3f}" for measure in measures for p in PROGRESS))
        for k in kinds
    ]
    at = [f"{words}, p = {p:g}" for words in ("distance", "variance") for p in PROGRESS]
    return {
        "estimators": _markdown(("name", "f'(x)", "schedule", "source"), estimators),
        "constants": _markdown(("estimator", "constant", "default", "range", "meaning"), constants),
        "indicators": _markdown(("estimator", *at), indicators),
        "comparison": _comparison(),
        "tried": _tried(),
    }


def plot_commands(page: str) -> list[list[str]]:
    """The page's commands that draw its plots, each as a list of arguments of `binarize`."""
    lines = re.findall(r"^binarize (estimators plot .* -o docs/images/.*)$", page, re.MULTILINE)
    return [shlex.split(line) for line in lines]


def _comparison() -> str:
    """The whole comparison, the best arm on the test images first."""
    head = (
        "arm",
        "seeds",
        "test top-1, %",
        "to float",
        "best held-out, %",
        "estimating error",
        "flips",
        "dead weights",
    )
    rows = [
        (
            f"`{arm['arm']}`",
            arm["n"],
            _mean(arm, "test_top1"),
            _points(arm["gap_to_float"]),
            _mean(arm, "val_top1_best"),
            *_indicators(arm),
            _percent(arm["dead_weights"]),
        )
        for arm in _arms("table.csv", "test_top1")
    ]
    return _markdown(head, rows)


def _tried() -> str:
    """The constants of ab-tanh that were tried, the best on the held-out images first."""
    head = ("arm", "seeds", "best held-out, %", "estimating error", "flips")
    rows = [
        (f"`{arm['arm']}`", arm["n"], _mean(arm, "val_top1_best"), *_indicators(arm))
        for arm in _arms("constants/table.csv", "val_top1_best")
    ]
    return _markdown(head, rows)


def _arms(table: str, by: str) -> list[dict[str, str]]:
    """What `binarize compare` wrote, the largest number of a column first; without what has no seed yet."""
    with (RESULTS / table).open(encoding="utf-8", newline="") as file:
        arms = [arm for arm in csv.DictReader(file) if int(arm["n"])]
    return sorted(arms, key=lambda arm: -float(arm[by]))


def _mean(arm: Mapping[str, str], name: str) -> str:
    return " ± ".join(_points(arm[column]) for column in (name, f"{name}_std") if arm[column])


def _indicators(arm: Mapping[str, str]) -> tuple[str, str]:
    """Estimating error and flips; the float arm has none."""
    error = arm["estimating_error"]
    return (f"{float(error):.1f}" if error else "", _percent(arm["flip_ratio"]))


def _points(value: str) -> str:
    return f"{float(value):.2f}" if value else ""


def _percent(share: str) -> str:
    return f"{100 * float(share):.2g} %" if share else ""


def _default(value: float | str | None) -> str:
    if isinstance(value, str):
        return f"`{value}`"
    return "none" if value is None else f"{value:g}"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def main() -> None:
    from binarize.cli.app import main as binarize

    page = PAGE.read_text(encoding="utf-8")
    write_text(PAGE, with_tables(page))
    for arguments in plot_commands(page):
        binarize([*arguments[:-1], str(PAGE.parents[1] / arguments[-1])])


if __name__ == "__main__":
    main()
