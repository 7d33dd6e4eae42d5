"""The directory of a comparison and its manifest, compare.json.

compare.json           recipe (as read, with the changes applied), target, arms, number of seeds
cells/<arm>-seed<N>/   one ordinary run each
cells/<arm>-seed<N>.json   what came out of it: a result or an error
cells/<arm>-seed<N>.log    what it said, where it ran in a process of its own
table.csv report.html  the outcome so far, written again after every trial
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from binarize.comparing.variants import Variant, parse_variant, recipe_of
from binarize.errors import BinarizeError
from binarize.recipe import Recipe, as_data, load
from binarize.run import InvalidRecord, write_json
from binarize.run.files import read_file
from binarize.run.record import checked, parse_json

MANIFEST = "compare.json"
FORMAT: Literal[1] = 1
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Manifest:
    """What a sweep is made of.

    Attributes:
        recipe: its name or file, as it was typed.
        contents: what the recipe and the changes set, defaults left out; `load` reads it.
        changes: the "key=value" of `--set`.
        target: the run or model that is trained; None: the recipe's model.
        arms: the names of its variants, see `variants`.
        seeds: their number; the seeds are 0, 1, ….
        created: seconds since the epoch.
    """

    recipe: str
    contents: dict[str, Any]
    changes: list[str]
    target: str | None
    arms: list[str]
    seeds: Annotated[int, Field(ge=1, le=MOST_SEEDS)]
    created: float = field(default_factory=time.time)
    format: Literal[1] = FORMAT


@dataclass(frozen=True)
class Trial:
    """One variant with one seed."""

    variant: Variant
    seed: int

    @property
    def name(self) -> str:
        return f"{self.variant.slug}-seed{self.seed}"

    @property
    def title(self) -> str:
        """As it is shown."""
        return f"{self.variant.name}, seed {self.seed}"


@dataclass(frozen=True)
class Sweep:
    """A directory with a manifest."""

    path: Path
    manifest: Manifest

    @property
    def variants(self) -> list[Variant]:
        return [parse_variant(name) for name in self.manifest.arms]

    @property
    def trials(self) -> list[Trial]:
        """Seed by seed over all variants, so that an unfinished sweep compares like with like."""
        variants = self.variants
        return [Trial(variant, seed) for seed in range(self.manifest.seeds) for variant in variants]

    def trial(self, name: str) -> Trial:
        return next(trial for trial in self.trials if trial.name == name)

    def run(self, trial: Trial) -> Path:
        """The directory of the trial's run."""
        return self.path / "cells" / trial.name

    def beside(self, trial: Trial, suffix: str) -> Path:
        """A file beside that directory."""
        return self.path / "cells" / f"{trial.name}{suffix}"

    def lock(self, trial: Trial) -> Path:
        """The file that keeps a second process away from the trial."""
        return self.beside(trial, ".lock")

    def recipe(self, trial: Trial) -> Recipe:
        return recipe_of(self.manifest.contents, trial.variant, trial.seed)


def set_keys(recipe: Recipe) -> dict[str, Any]:
    """What a recipe sets, as plain data. Defaults stay out: a run that is trained keeps its own there."""
    return recipe.model_dump(exclude_unset=True)


def open_sweep(path: Path) -> Sweep:
    """The sweep at `path`. Raises BinarizeError where there is none that this version can read."""
    file, hint = path / MANIFEST, "name another directory with -o"
    try:
        stored = parse_json(read_file(file))
        if isinstance(stored, dict) and stored.get("format") != FORMAT:
            raise BinarizeError(f'"{path}" was made by another version of binarize', hint)
        sweep = Sweep(path, checked(Manifest, stored))
    except OSError as error:
        raise BinarizeError(f'"{path}" is not the directory of a comparison', hint) from error
    except InvalidRecord as error:
        raise BinarizeError(f'"{file}" is damaged: {error}', hint) from error
    try:
        for variant in sweep.variants:
            sweep.recipe(Trial(variant, 0))
    except BinarizeError as error:
        raise BinarizeError(f'"{file}" is damaged: {error.message}', hint) from error
    return sweep


def is_sweep(path: Path) -> bool:
    return (path / MANIFEST).is_file()


def write_sweep(path: Path, manifest: Manifest) -> Sweep:
    """Write the manifest, which makes `path` a sweep."""
    write_json(path / MANIFEST, asdict(manifest))
    return Sweep(path, manifest)


def remove_sweep(path: Path) -> None:
    """Remove a sweep, its manifest last: what is left after a kill can be run or made again."""
    for entry in path.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != MANIFEST:
            entry.unlink()
    (path / MANIFEST).unlink()
    path.rmdir()


def check_agreement(old: Sweep, new: Manifest) -> None:
    """Raises BinarizeError where `new` would change what the trials of `old` were made by.

    More variants and more seeds are welcome, and the images may have moved.
    """
    hint = "name another directory with -o, or leave the difference out"
    before = old.manifest
    if before.target != new.target:
        raise _differs(old, "trains", before.target or "its recipe's model", new.target, hint)
    difference = _first_difference(_flat(before.contents), _flat(new.contents))
    if difference is not None:
        raise _differs(old, f"has {difference[0]} =", difference[1], difference[2], hint)
    missing = [name for name in before.arms if name not in new.arms]
    if missing:
        raise BinarizeError(
            f'the sweep in "{old.path}" has the variant {missing[0]}, which is not among the estimators',
            f"variants can only be added: --estimators {','.join([*before.arms, *_added(before, new)])}",
        )
    if new.seeds < before.seeds:
        raise BinarizeError(
            f'the sweep in "{old.path}" has {before.seeds} seeds, not {new.seeds}',
            f"seeds can only be added: --seeds {before.seeds}",
        )


def _added(before: Manifest, new: Manifest) -> Sequence[str]:
    return [name for name in new.arms if name not in before.arms]


def _differs(sweep: Sweep, what: str, before: Any, now: Any, hint: str) -> BinarizeError:
    return BinarizeError(f'the sweep in "{sweep.path}" {what} {before}, not {now}', hint)


def _flat(contents: dict[str, Any]) -> dict[str, Any]:
    """{dotted key: value} of a whole recipe, defaults included, but for where the images lie."""
    flat: dict[str, Any] = {}

    def walk(value: Any, path: str) -> None:
        below = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in below:
            where = f"{path}.{key}" if path else str(key)
            if isinstance(item, (dict, list)) and item:
                walk(item, where)
            else:
                flat[where] = item

    walk(as_data(load(contents)), "")
    flat.pop("data.dir", None)
    flat.pop("description", None)
    return flat


def _first_difference(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, Any, Any] | None:
    for key in {**old, **new}:
        if old.get(key) != new.get(key):
            return key, old.get(key), new.get(key)
    return None
