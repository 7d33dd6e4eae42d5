"""The directory of a comparison and its manifest, compare.json.

compare.json           recipe (as read, with the changes applied), target, arms, number of seeds
cells/<arm>-seed<N>/   one ordinary run each
cells/<arm>-seed<N>.json   what came out of it: a result or an error
cells/<arm>-seed<N>.log    what it said, where it ran in a process of its own
table.csv report.html  the outcome so far, written again after every cell
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from binarize.compare.arms import Arm, parse_arm, recipe_of
from binarize.errors import BinarizeError
from binarize.recipe import Recipe, as_data, load
from binarize.run import write_json

MANIFEST = "compare.json"
FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """What a grid is made of.

    Attributes:
        recipe: its name or file, as it was typed.
        contents: what the recipe and the changes set, defaults left out; `load` reads it.
        changes: the "key=value" of `--set`.
        target: the run or model that is trained; None: the recipe's model.
        arms: names, see `arms`.
        seeds: their number; the seeds are 0, 1, ….
        created: seconds since the epoch.
    """

    recipe: str
    contents: dict[str, Any]
    changes: list[str]
    target: str | None
    arms: list[str]
    seeds: int
    created: float = field(default_factory=time.time)
    format: int = FORMAT


@dataclass(frozen=True)
class Cell:
    """One arm with one seed."""

    arm: Arm
    seed: int

    @property
    def name(self) -> str:
        return f"{self.arm.slug}-seed{self.seed}"

    @property
    def title(self) -> str:
        """As it is shown."""
        return f"{self.arm.name}, seed {self.seed}"


@dataclass(frozen=True)
class Grid:
    """A directory with a manifest."""

    path: Path
    manifest: Manifest

    @property
    def arms(self) -> list[Arm]:
        return [parse_arm(name) for name in self.manifest.arms]

    @property
    def cells(self) -> list[Cell]:
        """Seed by seed over all arms, so that an unfinished grid compares like with like."""
        arms = self.arms
        return [Cell(arm, seed) for seed in range(self.manifest.seeds) for arm in arms]

    def cell(self, name: str) -> Cell:
        return next(cell for cell in self.cells if cell.name == name)

    def run(self, cell: Cell) -> Path:
        """The directory of the cell's run."""
        return self.path / "cells" / cell.name

    def beside(self, cell: Cell, suffix: str) -> Path:
        """A file beside that directory."""
        return self.path / "cells" / f"{cell.name}{suffix}"

    def recipe(self, cell: Cell) -> Recipe:
        return recipe_of(self.manifest.contents, cell.arm, cell.seed)


def set_keys(recipe: Recipe) -> dict[str, Any]:
    """What a recipe sets, as plain data. Defaults stay out: a run that is trained keeps its own there."""
    return recipe.model_dump(exclude_unset=True)


def open_grid(path: Path) -> Grid:
    """The grid at `path`. Raises BinarizeError where there is none, or one of another version."""
    try:
        stored = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if stored.get("format") != FORMAT:
            raise BinarizeError(
                f'"{path}" was made by another version of binarize',
                "name another directory with -o",
            )
        return Grid(path, Manifest(**stored))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BinarizeError(
            f'"{path}" is not the directory of a comparison', "name another directory with -o"
        ) from error


def is_grid(path: Path) -> bool:
    return (path / MANIFEST).is_file()


def write_grid(path: Path, manifest: Manifest) -> Grid:
    """Write the manifest, which makes `path` a grid."""
    write_json(path / MANIFEST, asdict(manifest))
    return Grid(path, manifest)


def check_agreement(old: Grid, new: Manifest) -> None:
    """Raises BinarizeError where `new` would change what the cells of `old` were made by.

    More arms and more seeds are welcome, and the images may have moved.
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
            f'the grid in "{old.path}" has the arm {missing[0]}, which is not among the estimators',
            f"arms can only be added: --estimators {','.join([*before.arms, *_added(before, new)])}",
        )
    if new.seeds < before.seeds:
        raise BinarizeError(
            f'the grid in "{old.path}" has {before.seeds} seeds, not {new.seeds}',
            f"seeds can only be added: --seeds {before.seeds}",
        )


def _added(before: Manifest, new: Manifest) -> Sequence[str]:
    return [name for name in new.arms if name not in before.arms]


def _differs(grid: Grid, what: str, before: Any, now: Any, hint: str) -> BinarizeError:
    return BinarizeError(f'the grid in "{grid.path}" {what} {before}, not {now}', hint)


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
