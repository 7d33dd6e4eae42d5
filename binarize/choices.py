"""Names that several layers of the package have to know, some of them without torch and pydantic."""

from __future__ import annotations

from typing import Literal, get_args

ScaleName = Literal["channel", "channel-in-graph", "layer", "power-of-two", "learned", "none"]
"""What binary weights are multiplied by; `binarize.layers.scale` has a formula for each."""

SCALES: tuple[str, ...] = get_args(ScaleName)

OnError = Literal["stop", "skip"]
"""What to do about images that cannot be read."""

ON_ERROR: tuple[str, ...] = get_args(OnError)

MOST_WORKERS, MOST_THREADS = 256, 1024
"""Of loading processes and of threads: more than any machine has use for, and few enough to be started.
Recipes come from others."""

MOST_BASES = 4
"""Binary bases that a weight may be the sum of: 1 to this many."""
