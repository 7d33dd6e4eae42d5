"""Loss and accuracies over some images, as a row of metrics.csv (`run.tables`) has them."""

from __future__ import annotations

from dataclasses import dataclass

from binarize.layers import SATURATED


@dataclass
class Scores:
    """Mean loss, and top-1 and top-5 in per cent, over `images` images.

    `saturation`: layer name -> share of the commoner value of its binary input; None where no input is
    binary.
    """

    images: int
    loss: float
    top1: float
    top5: float
    saturation: dict[str, float] | None = None

    @property
    def saturated(self) -> list[str] | None:
        """The layers whose binary input hardly ever changes; None where no input is binary."""
        if self.saturation is None:
            return None
        return [name for name, share in self.saturation.items() if share > SATURATED]

    def columns(self, split: str) -> dict[str, float]:
        """What a row of metrics.csv has of them; `split` is "val" or "test"."""
        values = {"loss": round(self.loss, 5), "top1": round(self.top1, 3)}
        return {
            f"{split}_{name}": value
            for name, value in {**values, "top5": round(self.top5, 3)}.items()
        }
