"""The schedule that EDE and RBNN share: a surrogate that steepens geometrically from a line to sign."""

from __future__ import annotations

from dataclasses import dataclass

from binarize.estimators.base import Estimator, constant


@dataclass(frozen=True)
class Steepening(Estimator):
    """t = t_min·(t_max/t_min)^p, k = max(1/t, 1); a subclass supplies the surrogate."""

    schedule = "t = t_min·(t_max/t_min)^p, k = max(1/t, 1)"

    t_min: float = constant(0.1, "steepness at p = 0", above=0)
    t_max: float = constant(10.0, "steepness at p = 1", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.t_max < self.t_min:
            self.refuse("t_max", "t_min <= t_max")

    def steepness(self, progress: float) -> tuple[float, float]:
        """(k, t) at this progress."""
        t = self.t_min * (self.t_max / self.t_min) ** progress
        return max(1 / t, 1.0), t
