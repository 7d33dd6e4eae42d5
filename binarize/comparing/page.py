"""SWEEP/report.html: the table, the curves of every variant, and by what all of it was made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from binarize.comparing.sweep import Sweep
from binarize.comparing.table import LEGEND, Outcome, outcomes, records, shown, table
from binarize.recipe import dump, load
from binarize.reporting.curves import Curve, Panel, draw
from binarize.reporting.page import day, svg, write_page
from binarize.reporting.settings import machines, versions
from binarize.run import layout
from binarize.run.tables import LOSS, OF_MODEL, TEST, TOP1, TRAIN, VAL, scored, series

SCORES = {"held-out top-1 %": scored(VAL, TOP1), "test top-1 %": scored(TEST, TOP1)}
PANELS = {
    **SCORES,
    "training loss": scored(TRAIN, LOSS),
    **{name.replace("_", " "): name for name in OF_MODEL},
}
LONG = 8  # epochs, from which on the first ones hide what sets the variants apart in the last


def write_compare_page(sweep: Sweep) -> Path:
    """Write the page of the trials that have ended. Raises BinarizeError without matplotlib."""
    path, done = sweep.path / layout.PAGE, outcomes(sweep)
    titles, rows = shown(table(sweep))
    runs = [sweep.run(trial) for trial in sweep.trials]
    manifest, recipe = sweep.manifest, load(sweep.manifest.contents)
    write_page(
        path,
        "compare.html",
        title=f"{Path(manifest.recipe).stem}: {len(manifest.arms)} estimators compared",
        state=f"{len(done)} of {len(sweep.trials)} trials finished",
        titles=titles,
        rows=rows,
        legend=LEGEND,
        failures=[record for record in records(sweep) if record.failed],
        curves=svg(draw(panels(manifest.arms, done))),
        settings=[
            ("recipe", manifest.recipe),
            ("changes", ", ".join(manifest.changes)),
            ("trained", manifest.target or (recipe.model.name if recipe.model else "")),
            ("data", recipe.data.name),
            ("held out", _held_out(recipe.data.holdout)),
            ("seeds", ", ".join(str(seed) for seed in range(manifest.seeds))),
            ("begun", day(manifest.created)),
            ("machine", machines(runs)),
            ("versions", versions(runs)),
        ],
        reconstructed=any(variant.estimator.startswith("ab-") for variant in sweep.variants),
        recipe=dump(recipe),
    )
    return path


def panels(variants: Sequence[str], done: Sequence[Outcome]) -> list[Panel]:
    """The curves of every variant. A score that only the last epoch has is no curve."""
    found = []
    for title, column in PANELS.items():
        if _only_last(column, done):
            continue
        curves = [_curve(variant, number, column, done) for number, variant in enumerate(variants)]
        found.append(Panel(title, curves))
        half = max((len(outcome.rows) for outcome in done), default=0) // 2
        if column in SCORES.values() and 2 * half >= LONG:
            late = [curve.since(half + 1) for curve in curves]
            found.append(Panel(f"{title}, from epoch {half + 1}", late))
    return found


def _held_out(holdout: int | float) -> str:
    """`5000 training images`, or `20 % of the training images`; "" where none are."""
    if isinstance(holdout, float):
        return f"{100 * holdout:g} % of the training images"
    return f"{holdout} training images" if holdout else ""


def _curve(variant: str, number: int, column: str, done: Sequence[Outcome]) -> Curve:
    seeds = [series(outcome.rows, column) for outcome in done if outcome.arm == variant]
    return Curve(variant, [seed for seed in seeds if seed], colour=number)


def _only_last(column: str, done: Sequence[Outcome]) -> bool:
    """Whether no training has this number more often than once, though some have more epochs."""
    longest = max((len(outcome.rows) for outcome in done), default=0)
    return longest > 1 and all(len(series(outcome.rows, column)) < 2 for outcome in done)
