"""Curves, most of them over epochs, drawn by matplotlib into SVG that can stand inside a page.

matplotlib is optional (`pip install "binarize[plot]"`) and imported when something is drawn.
"""

from __future__ import annotations

import io
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from binarize.errors import BinarizeError

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEEDS_PLOT = 'the page needs matplotlib: pip install "binarize[plot]"'
INCHES = (3.7, 2.6)  # of one panel
ACROSS = 3
# Text stays text and names are the same every time: the same numbers are the same small file.
STYLE: Any = {  # the type of its keys depends on the version of matplotlib
    "svg.fonttype": "none",
    "svg.hashsalt": "binarize",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.92",
    "axes.titlesize": 9,
}
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True)
class Curve:
    """A line of a panel: its mean over seeds, and the band of ± one sample deviation around it.

    Attributes:
        label: in the legend.
        seeds: {epoch: value} of each seed.
        style: matplotlib's line style.
        colour: number of the colour; equal numbers share one.
    """

    label: str
    seeds: Sequence[Mapping[int, float]]
    style: str = "-"
    colour: int = 0

    def points(self) -> list[tuple[int, float, float]]:
        """(epoch, mean, deviation) of every epoch that all seeds have."""
        if not self.seeds:
            return []
        epochs = sorted(set.intersection(*(set(seed) for seed in self.seeds)))
        return [(epoch, *_middle([seed[epoch] for seed in self.seeds])) for epoch in epochs]

    def since(self, epoch: int) -> Curve:
        """The same without what comes before `epoch`."""
        seeds = [{at: y for at, y in seed.items() if at >= epoch} for seed in self.seeds]
        return replace(self, seeds=seeds)


@dataclass(frozen=True)
class Panel:
    """One diagram, over epochs or what `over` says. `log`: a logarithmic axis; `marked`: all points."""

    title: str
    curves: Sequence[Curve]
    log: bool = False
    over: str = "epoch"
    marked: bool = False

    @property
    def drawn(self) -> list[Curve]:
        """The curves that have a point."""
        return [curve for curve in self.curves if curve.points()]


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def draw(panels: Sequence[Panel], prefix: str = "c") -> str:
    """The panels that have anything in them, three across, with one legend, as an `<svg>` element, whose ids
    begin with `prefix`; empty without any. Raises BinarizeError without matplotlib."""
    panels = [panel for panel in panels if panel.drawn]
    if not panels:
        return ""
    try:
        import matplotlib
    except ImportError as error:
        raise BinarizeError("curves need matplotlib, which is not installed", NEEDS_PLOT) from error
    from matplotlib.figure import Figure

    across = min(ACROSS, len(panels))
    down = math.ceil(len(panels) / across)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(INCHES[0] * across, INCHES[1] * down), layout="constrained")
        for axes, panel in zip(
            figure.subplots(down, across, squeeze=False).flat, panels, strict=False
        ):
            _panel(axes, panel)
        for axes in figure.axes[len(panels) :]:
            axes.remove()
        _legend(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=NO_METADATA)
    return inline(text.getvalue(), prefix)


def inline(svg: str, prefix: str = "c") -> str:
    """The `<svg>` element of a file, for the inside of an HTML page.

    Without declarations, name spaces and metadata, which HTML does not need and which hold addresses;
    its ids begin with `prefix`, so that several of them do not meet.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg)
    return re.sub(r"url\(#", f"url(#{prefix}-", svg)


def _panel(axes: Axes, panel: Panel) -> None:
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    for curve in panel.drawn:
        epochs, means, bands = (list(column) for column in zip(*curve.points(), strict=True))
        colour = colormaps["tab10" if curve.colour < 10 else "tab20b"](curve.colour % 20)
        mark = "." if panel.marked or len(epochs) == 1 else None
        axes.plot(epochs, means, curve.style, color=colour, lw=1.2, label=curve.label, marker=mark)
        if any(bands):
            low = [mean - band for mean, band in zip(means, bands, strict=True)]
            high = [mean + band for mean, band in zip(means, bands, strict=True)]
            axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
    if panel.log and axes.dataLim.y0 > 0:
        axes.set_yscale("log")
    if axes.dataLim.y0 == axes.dataLim.y1 == 0:
        axes.set_ylim(0, 1)  # not to some negative share
    axes.set(title=panel.title, xlabel=panel.over)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _legend(figure: Figure) -> None:
    """One legend under all panels, each label once; none for a single unnamed curve."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if len(handles) > 1:
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False
        )


def _middle(values: Sequence[float]) -> tuple[float, float]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
