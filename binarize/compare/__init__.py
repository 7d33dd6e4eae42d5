"""Compare estimators: a resumable grid of trainings by one recipe, and one table of what came out.

arms        what is put in the place of the recipe's `binarize` section
grid        the directory and its manifest
cell        one arm with one seed: an ordinary run, trained once; `lock` keeps a second process away
schedule    the cells that are left, one after another or several at a time
table       mean ± deviation over seeds, gap to float, seconds, indicators
comparison  all of it
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from binarize.compare.comparison import Comparison, go_on, make_grid
from binarize.errors import BinarizeError
from binarize.progress import Progress

__all__ = ["Comparison", "compare"]


def compare(
    recipe: str | Path | None = None,
    estimators: str | Sequence[str] | None = None,
    seeds: int | None = None,
    target: str | Path | None = None,
    *,
    data_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Comparison:
    """Train every arm with every seed by one recipe, and compare.

    Args:
        recipe: name of a shipped recipe or a YAML file.
        estimators: the arms, "float,ste,ab-tanh:k_end=7" or a list of such; see `arms`.
        seeds: how many; they are 0, 1, ….
        target: a run or a model, as `train` takes it.
        data_dir: where the images are.
        overrides: "key=value" changes to the recipe, for all arms.
        out: the directory; by default runs/compare-RECIPE. One that exists is gone on with, and then
            what is left out here is as it was; arms and seeds may be added.
        jobs: cells trained at a time.
        progress: is told how it goes: a sentence for each cell that has ended, and with one job a task for
            each that is trained.

    A finished cell is never trained again, an interrupted one is resumed, and one that failed is tried
    again. Raises BinarizeError where the directory holds another comparison, and what would go wrong in
    every cell.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise BinarizeError(
            "a comparison starts its trainings itself", "start it by binarize compare --jobs N"
        )
    grid = make_grid(recipe, estimators, seeds, target, overrides, Path(out) if out else None)
    return go_on(grid, Path(data_dir) if data_dir else None, jobs, progress or Progress())
