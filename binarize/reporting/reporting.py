"""Write the report of a run: its page and its model card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binarize import outputs
from binarize.errors import BinarizeError, EstimatorError, RunError, near_words
from binarize.reporting.card import write_card
from binarize.reporting.curves import NEEDS_PLOT, can_draw
from binarize.reporting.facts import Facts, facts_of
from binarize.reporting.run_page import write_run_page
from binarize.run import Run, layout, newest_run


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        facts: of the run.
        files: page and card.
        notes: why one of them is missing, and what could not be read.
    """

    facts: Facts
    files: list[str]
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        """The JSON of `binarize report`."""
        return {**self.facts.figures(), "files": self.files, "notes": self.notes}


@near_words
def report(run: Run | str | Path | None = None, out: str | Path | None = None) -> Report:
    """Write a run's page (RUN/report.html, or `out`) and its model card (RUN/README.md).

    `run` is the newest one by default. Without matplotlib the page is left out, and a README.md that
    somebody else wrote stays; `notes` says so. Raises RunError where there is no run.
    """
    if out is not None:
        outputs.check_file(out)
    path = run.path if isinstance(run, Run) else Path(run) if run else newest_run().path
    facts = facts_of(path)
    files, notes = [], facts.damage()
    page = Path(out) if out else path / layout.PAGE
    if can_draw():
        try:
            write_run_page(facts, page)
        except EstimatorError as error:  # of what the run says was used
            raise RunError(f'"{path / layout.INFO}": {error.message}', error.hint) from error
        files.append(str(page))
    else:
        notes.append(NEEDS_PLOT)
    try:
        write_card(facts, path / layout.CARD)
        files.append(str(path / layout.CARD))
    except BinarizeError as error:
        notes.append(f"{error.message}; {error.hint}")
    return Report(facts, files, notes)
