"""The model card: RUN/README.md, for whoever is given the run and nothing else."""

from __future__ import annotations

from pathlib import Path

from binarize.errors import BinarizeError
from binarize.estimators import TABLE
from binarize.reporting.description import describe_run, scores, size
from binarize.reporting.facts import Facts
from binarize.reporting.page import day, write_page
from binarize.reporting.settings import environment_of, machines, versions
from binarize.run import EstimatorSpec, layout
from binarize.run.files import read_file

MARK = "<!-- Written by `binarize report`; take this line out, and it stays as you leave it. -->"


def _is_ours(path: Path) -> bool:
    try:
        return MARK.encode() in read_file(path)
    except OSError:
        return False


def write_card(facts: Facts, path: Path) -> None:
    """Write the card. Raises BinarizeError where `path` holds something that this did not write."""
    if path.exists() and not _is_ours(path):
        raise BinarizeError(
            f'"{path}" was written by somebody else, and stays', "rename it, and report again"
        )
    totals = facts.summary["totals"]
    conversion = facts.info.conversion
    write_page(
        path,
        "card.md",
        mark=MARK,
        name=plain(facts.run.path.resolve().name),
        model=facts.model,
        words=describe_run(facts),
        weights=plain(facts.info.weights_in_words),
        binary=facts.binary,
        kept=[plain(str(x["name"])) for x in facts.summary["layers"] if x["action"] == "kept"],
        inputs=conversion.activations if conversion else "float",
        scale=conversion.scale if conversion else None,
        bases=conversion.bases if conversion else 1,
        standardised=conversion.standardise if conversion else None,
        estimators=[_estimator(each) for each in facts.estimators()],
        data=plain(facts.info.data.name or ""),
        classes=[plain(name) for name in facts.info.classes],
        preprocess=facts.info.preprocess.to_json(),
        recipe=_recipe(facts),
        finished=facts.finished,
        epochs=len(facts.rows),
        scores=scores(facts),
        command=_command(facts),
        day=day(facts.info.created),
        machine=machines([facts.run.path]),
        versions=versions([facts.run.path]),
        params_1bit=f"{totals['params_1bit']:,}",
        params_32bit=f"{totals['params_32bit']:,}",
        bytes_float=size(totals["bytes_float"]),
        bytes_packed=size(totals["bytes_packed"]),
        times=f"{totals['bytes_float'] / max(totals['bytes_packed'], 1):.1f}",
        version=_version(facts),
    )


def plain(text: str) -> str:
    """A word of the run's for the inside of Markdown, which hands HTML on to whoever reads it."""
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split())


def _estimator(each: EstimatorSpec) -> dict[str, str]:
    kind = TABLE.get(each.name)
    return {
        "words": str(each),
        "formula": kind.formula if kind else "",
        "source": kind.source if kind else "",
    }


def _recipe(facts: Facts) -> list[str]:
    """A line per stage; none where nothing was trained."""
    stages = facts.recipe.stages if facts.recipe else []
    return [
        f"{stage.name or f'stage {number}'}: "
        + ("up to " if stage.early_stop else "")
        + (f"{stage.epochs} epochs" if stage.epochs else f"{stage.steps} optimiser steps")
        + f", {stage.optimizer.name}, learning rate {stage.optimizer.lr:g}, {stage.schedule.name}"
        + (f", binary: {stage.binary}" if stage.binary != "all" else "")
        + (f", learning from {stage.distill.teacher}" if stage.distill else "")
        for number, stage in enumerate(stages, start=1)
    ]


def _command(facts: Facts) -> str:
    """What trains it again; a run that went on from another one needs that, here called RUN."""
    words = ["binarize train"]
    words += ["RUN"] if facts.recipe and facts.recipe.model is None else []
    words += [f"--recipe {layout.RECIPE}"]
    words += ["--data-dir DIR"] if facts.info.data.dir else []
    return " ".join(words)


def _version(facts: Facts) -> str:
    return environment_of(facts.run.path).versions.get("binarize") or ""
