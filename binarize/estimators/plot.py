"""Plots of estimators, computed by the same code that trains: f and f' at several progress values.

matplotlib is optional (`pip install "binarize[plot]"`) and imported when a plot is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch

from binarize import outputs
from binarize.errors import BinarizeError
from binarize.estimators.base import Estimator, sign
from binarize.run import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REACH = 2.0
INCHES = (7.2, 2.5)  # of one estimator's row
# Text stays text, and no element gets a random name: the same plot is the same small file.
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "binarize",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
}
METADATA = {".svg": {"Date": None, "Creator": "binarize estimators plot"}, ".png": {}}


def plot(estimators: Sequence[Estimator], progress: Sequence[float], path: Path) -> None:
    """Draw one row per estimator, f on the left and f' on the right, into an .svg or .png file.

    Raises BinarizeError without matplotlib, or for another kind of file.
    """
    outputs.check_file(path)
    if path.suffix not in METADATA:
        raise BinarizeError(f'cannot plot into "{path}"', "name a file that ends in .svg or .png")
    matplotlib = _matplotlib()
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE), replacing(path) as temporary:
        figure = Figure(figsize=(INCHES[0], INCHES[1] * len(estimators)), dpi=150)
        rows = figure.subplots(len(estimators), 2, squeeze=False)
        inch = 1 / figure.get_figheight()
        figure.subplots_adjust(0.07, 0.3 * inch, 0.98, 1 - 0.3 * inch, wspace=0.15, hspace=0.35)
        for estimator, (left, right) in zip(estimators, rows, strict=True):
            _row(estimator, progress, left, right)
        figure.savefig(temporary, format=path.suffix[1:], metadata=METADATA[path.suffix])


def _row(estimator: Estimator, progress: Sequence[float], left: Axes, right: Axes) -> None:
    from matplotlib import colormaps

    x = torch.linspace(-REACH, REACH, 401, dtype=torch.float64)
    left.plot(x, sign(x), color="0.75", linewidth=1, label="sign")
    shown = progress if estimator.schedule else progress[:1]
    for number, p in enumerate(shown):
        colour = colormaps["viridis"](0.9 * (1 - (number + 1) / len(shown)))
        label = f"p = {p:g}" if estimator.schedule else None
        for axes, letter, y in (
            (left, "f", estimator.surrogate(x, p)),
            (right, "df", estimator.surrogate_grad(x, p)),
        ):
            if y is not None:
                axes.plot(x, y, gid=f"{estimator.name}-{letter}-{p:g}", color=colour, label=label)
    common = {"xlim": (-REACH, REACH), "xticks": (-2, -1, 0, 1, 2)}
    left.set(title=f"{estimator.name}: f(x)", ylim=(-2.1, 2.1), yticks=(-2, -1, 0, 1, 2), **common)
    bottom, top = 1.05 * min(0.0, right.dataLim.ymin), 1.05 * right.dataLim.ymax
    right.set(title="f'(x)", ylim=(bottom, top), **common)
    left.legend(frameon=False, loc="upper left")


def _matplotlib() -> ModuleType:
    try:
        import matplotlib
    except ImportError as error:
        raise BinarizeError(
            "plots need matplotlib, which is not installed", 'pip install "binarize[plot]"'
        ) from error
    return matplotlib
