"""RUN/report.html: curves, layers and estimators of one run; its float baseline's curves beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from binarize import estimators
from binarize.estimators.plot import plot
from binarize.recipe import dump
from binarize.reporting import answers
from binarize.reporting.curves import Curve, Panel, draw, inline
from binarize.reporting.description import describe_run, scores
from binarize.reporting.facts import Facts
from binarize.reporting.page import day, svg, write_page
from binarize.reporting.settings import machines, versions
from binarize.run import EstimatorSpec
from binarize.run.tables import (
    AGREEMENT,
    LOSS,
    LR,
    OF_LAYER,
    OF_MODEL,
    TEST,
    TOP1,
    TRAIN,
    VAL,
    scored,
    series,
)

PROGRESS = (0.0, 0.5, 1.0)
LEARNT, HELD_OUT, TESTED = "training", "held-out", "test"


def write_run_page(facts: Facts, path: Path) -> None:
    """Write the page. Raises BinarizeError without matplotlib."""
    titles, rows = layer_table(facts)
    recipe = facts.recipe
    write_page(
        path,
        "run.html",
        title=f"{facts.info.model.name}: {describe_run(facts)}",
        state=f"{facts.run.path.name}, {_state(facts)}",
        scores=scores(facts),
        curves=svg(draw(panels(facts))),
        plots=[svg(text) for text in estimator_plots(facts.estimators())],
        fit=facts.info.fit.lines() if facts.info.fit else [],
        errors=error_table(facts),
        bits=svg(draw(allocation_panels(facts), "b")),
        sensitivity=sensitivity_table(facts),
        compared=facts.sensitivity,
        estimators=[str(each) for each in facts.estimators()],
        titles=titles,
        rows=rows,
        settings=[
            ("model", facts.model),
            ("started from", facts.info.weights_in_words),
            ("data", facts.info.data.name),
            ("date", day(facts.info.created)),
            ("machine", machines([facts.run.path])),
            ("versions", versions([facts.run.path])),
        ],
        reconstructed=reconstructed(facts),
        recipe=dump(recipe) if recipe else "",
        **answers.values(facts.answers),
    )


def error_table(facts: Facts) -> list[list[str]]:
    """Compared outputs of a fit, and their errors before and after."""
    if facts.info.fit is None:
        return []
    return [
        [name or "the network (logits)", f"{before:.3g}", f"{after:.3g}"]
        for name, (before, after) in facts.info.fit.outputs.items()
    ]


def allocation_panels(facts: Facts) -> list[Panel]:
    """Bytes against agreement, and what each layer costs at each number of bases."""
    found, fit = [], facts.info.fit
    if fit is not None and fit.allocation is not None:
        points = {round(point.bytes / 1000): point.agreement for point in fit.allocation.curve}
        curve = Curve(f"after {fit.allocation.steps} steps", [points])
        found.append(Panel("same answer as float, %", [curve], over="kB", marked=True))
    sensed = facts.sensitivity
    if sensed is not None:
        names = [each.name for each in sensed.ranked()]
        by_bases: dict[int, dict[int, float]] = {}
        for each in sensed.layers:
            if each.kl > 0:
                by_bases.setdefault(each.bases, {})[names.index(each.name) + 1] = each.kl
        curves = [
            Curve(f"{bases} {'bases' if bases > 1 else 'base'}", [points], "", bases)
            for bases, points in sorted(by_bases.items())
        ]
        title = "KL of the answers, one layer binary"
        found.append(Panel(title, curves, True, "layer, as in the table below", True))
    return found


def sensitivity_table(facts: Facts) -> list[list[str]]:
    """Layers, the most sensitive first, at the fewest bases that were tried."""
    sensed = facts.sensitivity
    if sensed is None:
        return []
    return [
        [str(number), each.name, f"{each.kl:.3g}", f"{each.agreement:.1f}", f"{each.bytes_float:,}"]
        for number, each in enumerate(sensed.ranked(), 1)
    ]


def panels(facts: Facts) -> list[Panel]:
    """Loss, top-1 or agreement, learning rate, indicators; dashed is the float baseline."""
    rows, baseline = facts.rows, facts.baseline
    both = [
        (rows, "binarized" if facts.binary else "float", "-"),
        (baseline, "float baseline", "--"),
    ]
    columns = [(HELD_OUT, scored(VAL, TOP1), 0), (TESTED, scored(TEST, TOP1), 1)]
    return [
        Panel("training loss", [_curve(r, scored(TRAIN, LOSS), name, s, 0) for r, name, s in both]),
        *(
            Panel(f"{images} top-1 %", [_curve(r, column, name, s, 0) for r, name, s in both])
            for images, column, _ in columns
            if len(series(rows, column)) > 1 or len(rows) == 1
        ),
        *(
            Panel(title, [_curve(rows, column, both[0][1], "-", 0)])
            for title, column in (
                ("same answer as the teacher, %", AGREEMENT),
                ("learning rate", LR),
                *((name.replace("_", " "), name) for name in OF_MODEL),
            )
        ),
    ]


def estimator_plots(chosen: Sequence[EstimatorSpec]) -> list[str]:
    """f and f' of every estimator at three values of the progress, each as an `<svg>` element."""
    drawings = []
    with tempfile.TemporaryDirectory() as folder:
        for number, each in enumerate(chosen):
            path = Path(folder) / f"{number}.svg"
            plot([estimators.get(each.name, **each.constants)], PROGRESS, path)
            drawings.append(inline(path.read_text(encoding="utf-8"), f"e{number}"))
    return drawings


def layer_table(facts: Facts) -> tuple[list[str], list[list[Any]]]:
    """Titles and rows: the layer table with those indicators that any layer has."""
    layers = facts.layers()
    known = [name for name in OF_LAYER if any(name in x["indicators"] for x in layers)]
    titles = ["layer", "kind", "shape", "action", "reason", "parameters"]
    titles += [name.replace("_", " ") for name in known]
    rows = [
        [
            *(layer["name"], layer["kind"], "x".join(map(str, layer["shape"]))),
            *(layer["action"], layer["reason"], f"{layer['params']:,}"),
            *(
                f"{x:.3g}" if (x := layer["indicators"].get(name)) is not None else ""
                for name in known
            ),
        ]
        for layer in layers
    ]
    return titles, rows


def reconstructed(facts: Facts) -> bool:
    """Whether an estimator is a reconstruction, not the paper's own equations."""
    return any(
        "reconstruction" in estimators.TABLE[each.name].source
        for each in facts.estimators()
        if each.name in estimators.TABLE
    )


def _curve(
    rows: Sequence[Mapping[str, str]], column: str, name: str, style: str, colour: int
) -> Curve:
    points = series(rows, column)
    return Curve(name, [points] if points else [], style, colour)


def _state(facts: Facts) -> str:
    if not facts.rows:
        return "converted, not trained"
    done = "" if facts.finished else " so far, not finished"
    return f"{len(facts.rows)} epochs{done}"
