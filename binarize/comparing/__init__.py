"""Compare estimators: a resumable sweep of trainings by one recipe, and one table of what came out.

variants    what is put in the place of the recipe's `binarize` section
sweep       the directory and its manifest
trial       one variant with one seed: an ordinary run, trained once; a lock keeps a second process away
schedule    the trials that are left, one after another or several at a time; `devices` gives each a GPU
table       mean ± deviation over seeds, gap to float, seconds, indicators
comparison  all of it
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from binarize.comparing.comparison import Comparison, make_sweep, run_sweep
from binarize.errors import BinarizeError, near_words
from binarize.progress import Progress

__all__ = ["Comparison", "compare"]


@near_words
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
    """Train every variant with every seed by one recipe, and compare.

    Args:
        recipe: name of a shipped recipe or a YAML file.
        estimators: the variants, "float,ste,ab-tanh:k_end=7" or a list of such; see `variants`.
        seeds: how many; they are 0, 1, ….
        target: a run or a model, as `train` takes it.
        data_dir: where the images are.
        overrides: "key=value" changes to the recipe, for all variants.
        out: the directory; by default runs/compare-RECIPE. One that exists is resumed, and then
            what is left out here is as it was; variants and seeds may be added.
        jobs: trials trained at a time, spread over the GPUs.
        progress: is told how it goes: a sentence for each trial that has ended, and with one job a task for
            each that is trained.

    A finished trial is never trained again, an interrupted one is resumed, and one that failed is tried
    again. Raises BinarizeError where the directory holds another comparison, and what would go wrong in
    every trial.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise BinarizeError(
            "a comparison starts its trainings itself", "start it by binarize compare --jobs N"
        )
    sweep = make_sweep(recipe, estimators, seeds, target, overrides, Path(out) if out else None)
    return run_sweep(sweep, Path(data_dir) if data_dir else None, jobs, progress or Progress())
