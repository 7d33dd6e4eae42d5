"""What the commands show. The only module that writes to stdout and stderr.

Data is what was asked for, talk is everything said on the way. On a terminal both go to stdout. With
`--json`, stdout holds one JSON value and the talk goes to stderr. Rich honours NO_COLOR. Where several
processes run (accelerate launch), only the first one shows anything.

Rich is imported inside the functions, so that `--help` does not pay for it.
"""

from __future__ import annotations

import csv
import functools
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from binarize.cli import tables
from binarize.printable import escaped, sentence, shortened

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDE = 4096  # columns where nobody's terminal sets a limit: no name is folded or cut
_state = {"json": False}


def use_json(on: bool) -> bool:
    """Send the talk to stderr from now on (the callback of `--json`)."""
    _state["json"] = on
    return on


Json = Annotated[
    bool,
    typer.Option("--json", help="Write JSON to stdout, messages to stderr.", callback=use_json),
]


def json_is_on() -> bool:
    return _state["json"]


def say(content: RenderableType = "") -> None:
    """Talk: a sentence or a Rich renderable. Square brackets in a string are plain text."""
    _say(sentence(content) if isinstance(content, str) else content)


def document(text: str) -> None:
    """Talk: the text of a file, line by line as it stands."""
    _say(text.rstrip("\n"))


def _say(content: RenderableType) -> None:
    if _first_process():
        _print(_console(stderr=json_is_on()), content)


def error(message: str, hint: str = "") -> None:
    """`error: …` and `hint: …`, on stderr."""
    _complain("error", "bold red", message, hint)


def warn(message: str, hint: str = "") -> None:
    """`warning: …` and `hint: …`, on stderr: the command continues."""
    _complain("warning", "bold yellow", message, hint)


def next_command(command: str) -> None:
    """The last line of a command: what to type next."""
    from rich.text import Text

    say(Text.assemble(("next", "bold green"), f": {sentence(command)}"))


def emit_json(content: Any) -> None:
    """The one JSON value of a command run with `--json`, on stdout. Not-a-number becomes null."""
    if _first_process():
        sys.stdout.write(json.dumps(_finite(content), indent=1, default=str) + "\n")


def emit_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """The rows of a command run with `--csv`, on stdout; None is an empty cell."""
    if _first_process():
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([escaped(x) if isinstance(x, str) else x for x in row] for row in rows)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    prose: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> None:
    """Talk: a table. Numbers stand right, None is shown as an empty cell.

    Cells of the columns `prose` may wrap between words, others stay whole. On a terminal that is too narrow
    columns are left out, those of `drop` first, then from the right; a sentence says which.
    """
    rows = [list(row) for row in rows]
    grid, left_out = tables.fit(_console(stderr=json_is_on()), columns, rows, prose, drop)
    _say(tables.as_lists(columns, rows) if grid is None else grid)
    if left_out:
        say(f"columns left out for this width: {', '.join(left_out)}")


def layer_table(layers: Iterable[Mapping[str, Any]], totals: Mapping[str, Any]) -> None:
    """Talk: every layer with what feeds it and what became of it, then the totals of summary.json.

    What inputs became is shown where any of them is binary, the number of bases where any has several, and
    which weights are random where not all are the same.
    """
    layers = list(layers)
    mixed = len({layer.get("weights") for layer in layers}) > 1
    several = any(layer.get("bases", 1) != 1 for layer in layers)
    binary = any(layer.get("activations", "float") != "float" for layer in layers)
    table(
        (
            "layer",
            "kind",
            "shape",
            "fed by",
            "action",
            *["bases"] * several,
            *["input"] * binary,
            *["weights"] * mixed,
            "reason",
        ),
        (
            (
                layer["name"],
                layer["kind"],
                "x".join(map(str, layer["shape"])),
                layer["source"],
                layer["action"],
                *[layer.get("bases", 1) if layer["action"] == "binarized" else None] * several,
                *[layer.get("activations", "float")] * binary,
                *[layer.get("weights")] * mixed,
                layer["reason"],
            )
            for layer in layers
        ),
        prose=("reason",),
        drop=("fed by", "kind", "shape"),
    )
    table(
        ("", "1-bit", "32-bit"),
        (
            ("parameters", totals["params_1bit"], totals["params_32bit"]),
            ("MACs", totals["macs_1bit"], totals["macs_32bit"]),
        ),
    )
    before, after = totals["bytes_float"], totals["bytes_packed"]
    say(
        f"{size(before)} as float, {size(after)} packed: {before / max(after, 1):.1f} times smaller"
    )


def size(count: int) -> str:
    """`3.44 MiB (3,610,112 bytes)`."""
    for unit, power in (("MiB", 20), ("KiB", 10)):
        if count >= 1 << power:
            return f"{count / (1 << power):.2f} {unit} ({count:,} bytes)"
    return f"{count:,} bytes"


def terminal() -> Console | None:
    """stderr, where a bar can be drawn on it: a terminal, without `--json`. Else None."""
    console = _console(stderr=True)
    drawn = console.is_terminal and not json_is_on() and _first_process()
    return console if drawn else None


def line_on_stderr(text: str) -> None:
    """A line of progress: talk that goes to stderr also where stdout holds the rest of it."""
    if _first_process():
        _print(_console(stderr=True), sentence(text))


def _complain(label: str, style: str, message: str, hint: str) -> None:
    from rich.text import Text

    console = _console(stderr=True)
    _print(console, Text.assemble((label, style), f": {sentence(shortened(message))}"))
    if hint:
        _print(console, Text.assemble(("hint", "bold cyan"), f": {sentence(hint)}"))


def _console(stderr: bool) -> Console:
    """A console on the stream as it is now, as wide as its terminal, or else as wide as need be."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDE
    return _safe_console()(file=stream, width=width, highlight=False, markup=False, emoji=False)


@functools.cache
def _safe_console() -> type[Console]:
    """A console that shows control characters: names come from files, and could steer the terminal."""
    from rich.console import Console
    from rich.segment import Segment

    class Safe(Console):
        def render(self, renderable: RenderableType, *args: Any) -> Iterator[Segment]:
            for segment in super().render(renderable, *args):
                text, style, control = segment
                yield segment if control else Segment(escaped(text), style)

    return Safe


def _print(console: Console, content: RenderableType) -> None:
    from rich.text import Text

    # Sentences wrap in the terminal, not here: what is copied from it holds no stray line breaks.
    console.print(content, soft_wrap=isinstance(content, (str, Text)))


def _finite(content: Any) -> Any:
    """JSON knows no NaN and no infinity; strict readers refuse what `json` would write."""
    if isinstance(content, float):
        return content if content - content == 0 else None
    if isinstance(content, Mapping):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return content


def _first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"
