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
    """The whole comparison, the best variant on the test images first."""
    head = (
        "variant",
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
            f"`{row['arm']}`",
            row["n"],
            _mean(row, "test_top1"),
            _points(row["gap_to_float"]),
            _mean(row, "val_top1_best"),
            *_indicators(row),
            _percent(row["dead_weights"]),
        )
        for row in _variants("table.csv", "test_top1")
    ]
    return _markdown(head, rows)


def _tried() -> str:
    """The constants of ab-tanh that were tried, the best on the held-out images first."""
    head = ("variant", "seeds", "best held-out, %", "estimating error", "flips")
    rows = [
        (f"`{row['arm']}`", row["n"], _mean(row, "val_top1_best"), *_indicators(row))
        for row in _variants("constants/table.csv", "val_top1_best")
    ]
    return _markdown(head, rows)


def _variants(table: str, by: str) -> list[dict[str, str]]:
    """Rows that `binarize compare` wrote, the largest of a column first; without those that have no seed."""
    with (RESULTS / table).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["n"])]
    return sorted(rows, key=lambda row: -float(row[by]))


def _mean(row: Mapping[str, str], name: str) -> str:
    return " ± ".join(_points(row[column]) for column in (name, f"{name}_std") if row[column])


def _indicators(row: Mapping[str, str]) -> tuple[str, str]:
    """Estimating error and flips; the float variant has none."""
    error = row["estimating_error"]
    return (f"{float(error):.1f}" if error else "", _percent(row["flip_ratio"]))


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
