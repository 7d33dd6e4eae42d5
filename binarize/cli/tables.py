"""Tables for a terminal. A narrow one gets fewer columns; no name in a cell is broken or cut.

Columns of prose may wrap between words. Where not even two columns fit side by side, every row becomes a
list of its own, one value a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PROSE_WIDTH = 34  # columns that a cell of prose gets at least


def fit(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    prose: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> tuple[Table | None, list[str]]:
    """A table of the columns that fit `console`, and the names of those left out; None where none does.

    Columns go in the order of `drop`, then from the right; the first one stays.
    """
    kept, left_out = list(range(len(columns))), []
    from_the_right = [name for name in reversed(columns[1:]) if name not in drop]
    order = [columns.index(name) for name in (*drop, *from_the_right) if name in columns[1:]]
    table = _table(columns, rows, kept, prose)
    while not _fits(table, console) and order:
        left_out.append(order[0])
        kept.remove(order.pop(0))
        table = _table(columns, rows, kept, prose)
    if (left_out and len(kept) == 1) or not _fits(table, console):
        return None, []
    return table, [columns[number] for number in sorted(left_out)]


def as_lists(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Every row as its first cell, and below it `title: value` of the others."""
    lines = []
    for first, *others in rows:
        lines.append(cell(first))
        known = zip(columns[1:], others, strict=True)
        lines += [f"  {name}: {cell(value)}" for name, value in known if value is not None]
    return "\n".join(lines)


def cell(value: Any) -> str:
    """`1,234`, `0.5679`, a word as it is, and nothing for None."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], kept: list[int], prose: Sequence[str]
) -> Table:
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for number in kept:
        name = columns[number]
        values = [row[number] for row in rows if row[number] is not None]
        width = max(cell_len(text) for text in (name, *map(cell, values)))
        wraps = name in prose
        table.add_column(
            Text(name),
            justify="right" if values and all(map(_is_number, values)) else "left",
            no_wrap=not wraps,
            min_width=min(width, PROSE_WIDTH) if wraps else width,
        )
    for row in rows:
        table.add_row(*(Text(cell(row[number])) for number in kept))
    return table


def _fits(table: Table, console: Console) -> bool:
    from rich.measure import Measurement

    endless = console.options.update(width=1 << 20)
    return Measurement.get(console, endless, table).minimum <= console.width


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
