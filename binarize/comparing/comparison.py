"""A whole comparison: agree with what is there, run what is left, keep table and files up to date."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from binarize import outputs
from binarize.comparing.page import write_compare_page
from binarize.comparing.schedule import run_here, run_in_processes
from binarize.comparing.sweep import (
    MANIFEST,
    Manifest,
    Sweep,
    Trial,
    check_agreement,
    is_sweep,
    open_sweep,
    remove_sweep,
    set_keys,
    write_sweep,
)
from binarize.comparing.table import Line, records, table, write_csv
from binarize.comparing.trial import Record, is_finished
from binarize.comparing.variants import FLOAT, Variant, own_choices, parse_variant, parse_variants
from binarize.errors import BinarizeError
from binarize.progress import Progress
from binarize.recipe import Recipe, load
from binarize.reporting.curves import NEEDS_PLOT, can_draw
from binarize.run import layout, newest_run
from binarize.run.leftovers import remove_leftovers
from binarize.run.lock import remove_if_free

CSV = "table.csv"


@dataclass(frozen=True)
class Comparison:
    """What came out so far.

    Attributes:
        sweep: the directory and what it is made of.
        lines: the table.
        records: of the trials that have ended, in order.
        left: trials that another process is still training.
        files: written beside the trials.
        note: why a file is missing; empty where none is.
    """

    sweep: Sweep
    lines: list[Line]
    records: list[Record]
    left: list[str]
    files: list[str]
    note: str = ""

    @property
    def example(self) -> str | None:
        """The first run that is finished, float aside: something to look at next."""
        done = [r.result for r in self.records if r.result is not None and r.arm != FLOAT]
        return str(self.sweep.path / done[0]["run"]) if done else None

    @property
    def failed(self) -> list[Record]:
        return [record for record in self.records if record.failed]

    def as_json(self) -> dict[str, Any]:
        """The JSON of `binarize compare`."""
        manifest = self.sweep.manifest
        return {
            "grid": str(self.sweep.path),
            "recipe": manifest.recipe,
            "changes": manifest.changes,
            "target": manifest.target,
            "seeds": manifest.seeds,
            "table": [asdict(line) for line in self.lines],
            "cells": [asdict(record) for record in self.records],
            "left": self.left,
            "files": self.files,
        }


def make_sweep(
    recipe: str | Path | None,
    variants: str | Sequence[str] | None,
    seeds: int | None,
    target: str | Path | None,
    changes: Sequence[str],
    out: Path | None,
) -> Sweep:
    """The sweep to run: a new one, or the one at `out`, whose manifest says what is left out here.

    Nothing is written before every variant's recipe is known to be right.
    """
    path = out or layout.ROOT / f"compare-{Path(recipe).stem}" if recipe else out
    if path is None:
        raise BinarizeError("there is no recipe to compare by", "name one: binarize recipes ls")
    outputs.check_resumable(path)
    old = open_sweep(path) if is_sweep(path) else None
    remove_leftovers(path, MANIFEST)  # of a process that was killed before the manifest was there
    if old is None and path.exists() and any(path.iterdir()):
        raise BinarizeError(
            f'"{path}" exists and is not the directory of a comparison', "name another with -o"
        )
    manifest = _manifest(old.manifest if old else None, recipe, variants, seeds, target, changes)
    sweep = Sweep(path, manifest)
    for variant in sweep.variants:
        sweep.recipe(Trial(variant, 0))
    if old is not None:
        check_agreement(old, manifest)
    return sweep


def run_sweep(sweep: Sweep, data_dir: Path | None, jobs: int, progress: Progress) -> Comparison:
    """Train every trial of the sweep that is not finished, and write what came out after each."""
    new = not sweep.path.exists()
    write_sweep(sweep.path, sweep.manifest)
    trials = [trial for trial in sweep.trials if not is_finished(sweep, trial)]
    for trial in sweep.trials:
        remove_if_free(sweep.lock(trial))
    progress.run(sweep.path)
    finished = f", {len(sweep.trials) - len(trials)} finished already" * (
        len(trials) < len(sweep.trials)
    )
    variants, seeds = len(sweep.manifest.arms), sweep.manifest.seeds
    progress.say(f"sweep: {sweep.path}, {variants} variants x {seeds} seeds{finished}")
    for key in own_choices(load(sweep.manifest.contents)):
        progress.warn(f"the recipe sets {key}, which is the same in every variant")
    left: list[str] = []

    def ended(trial: Trial, record: Record | None) -> None:
        if record is None:
            left.append(trial.name)
            progress.say(f"{trial.title}: another process is training it")
            return
        write_files(sweep)
        progress.say(record.sentence)

    try:
        if jobs == 1:
            run_here(sweep, trials, data_dir, progress, ended)
        else:
            run_in_processes(sweep, trials, data_dir, jobs, progress, ended)
    except BinarizeError:
        if new and not any((sweep.path / "cells").glob(f"[!.]*/{layout.INFO}")):
            remove_sweep(sweep.path)
        raise
    files, note = write_files(sweep), "" if can_draw() else NEEDS_PLOT
    sweep = open_sweep(sweep.path)
    left = [name for name in left if not is_finished(sweep, sweep.trial(name))]
    return Comparison(sweep, table(sweep), records(sweep), left, files, note)


def write_files(sweep: Sweep) -> list[str]:
    """Write the table, and the page where matplotlib is at hand, of the trials that have ended.

    The manifest is read again: another process may have added variants in the meantime.
    """
    sweep = open_sweep(sweep.path)
    files = [sweep.path / CSV]
    write_csv(files[0], table(sweep))
    if can_draw():
        files.append(write_compare_page(sweep))
    return [str(path) for path in files]


def _manifest(
    old: Manifest | None,
    recipe: str | Path | None,
    variants: str | Sequence[str] | None,
    seeds: int | None,
    target: str | Path | None,
    changes: Sequence[str],
) -> Manifest:
    """The manifest that is asked for; what was not said is as it was."""
    if recipe is None and old is None:
        raise BinarizeError("there is no recipe to compare by", "name one: binarize recipes ls")
    if recipe is None and changes:
        raise BinarizeError("changes need the recipe that they change", "add --recipe")
    chosen = _variants(old, variants)
    if recipe is not None:
        name, contents = str(recipe), set_keys(load(recipe, changes))
    elif old is not None:
        name, contents, changes = old.recipe, old.contents, old.changes
    return Manifest(
        recipe=name,
        contents=contents,
        changes=list(changes),
        target=_target(old, target, load(contents)),
        arms=[variant.name for variant in chosen],
        seeds=seeds if seeds is not None else old.seeds if old else 1,
        created=old.created if old else time.time(),
    )


def _variants(old: Manifest | None, variants: str | Sequence[str] | None) -> list[Variant]:
    if variants is not None:
        return parse_variants(variants)
    if old is None:
        raise BinarizeError("no estimator is named", "name some: --estimators float,ste,ab-tanh")
    return [parse_variant(name) for name in old.arms]


def _target(old: Manifest | None, target: str | Path | None, recipe: Recipe) -> str | None:
    """What is trained. The newest run is looked up once: later it would be another one."""
    if target is not None:
        return str(target)
    if old is not None:
        return old.target
    return None if recipe.model is not None else str(newest_run().path)
