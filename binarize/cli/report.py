"""`binarize report`: curves, layers and the model card of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from binarize import outputs
from binarize.cli import next_step, render
from binarize.cli.progress import working

if TYPE_CHECKING:
    from binarize.reporting import Report

EXAMPLES = """
binarize report
binarize report runs/cifar_resnet20-digits -o digits.html
"""


def command(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="A trained or converted run. [default: the newest run]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The HTML page to write. [default: RUN/report.html]"
        ),
    ] = None,
    as_json: render.Json = False,
) -> None:
    """Write an HTML page about a run (curves, layers, estimator plots) and a model card, RUN/README.md.

    The page is one self-contained file.
    """
    if out is not None:
        outputs.check_file(out)
    from binarize.reporting import report
    from binarize.run import layout, newest_run

    if run is None:
        run = newest_run(skipped=render.warn).path
        render.say(f"the newest run, {run}")
    with working("reporting"):
        written = report(run, out)
    show(written)
    if as_json:
        render.emit_json(written.as_json())
    if not written.facts.rows:
        render.next_command(next_step.after_converting(run, written.facts.info))
    elif (run / layout.ONNX).exists():
        render.next_command(f"binarize eval {run}")
    else:
        render.next_command(f"binarize export {run} --onnx")


def show(written: Report) -> None:
    """The run's figures, and the files."""
    from binarize.reporting.description import describe_run, scores

    facts = written.facts
    render.say(f"{facts.model}: {describe_run(facts)}")
    found = scores(facts)
    if found:
        render.table(("", "accuracy"), found)
    else:
        render.say("it is not trained yet")
    known = facts.figures()["indicators"]
    rows = [(name.replace("_", " "), value) for name, value in known.items() if value is not None]
    if rows:
        render.table(("indicator", "last epoch"), rows)
    for path in written.files:
        render.say(f"wrote {path}")
    for note in written.notes:
        render.say(note)
