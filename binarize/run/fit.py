"""The record of a fit to the float parent, and of the bits that were allocated to layers before it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from binarize.filesize import words_of
from binarize.run.record import Record

Error = Annotated[float, Field(ge=0)]
PerCent = Annotated[float, Field(ge=0, le=100)]


class CurvePoint(Record):
    """A network on the way from the fewest bits to float.

    Attributes:
        bytes: of its packed file.
        agreement: per cent of the images held aside on which it answers as its float parent, after a short
            fit.
    """

    bytes: int = Field(ge=0, lt=1 << 63)
    agreement: PerCent


class AllocationRecord(Record):
    """How bits were allocated to layers; what came of it is in the conversion.

    Attributes:
        size: bytes of the packed file at most, or None.
        agreement: per cent at least, or None.
        bytes: of the packed file, as `export` writes it.
        steps: of the short fits behind `curve`.
        curve: networks of other sizes, and the one that was taken.
    """

    size: Annotated[int, Field(ge=1, lt=1 << 63)] | None = None
    agreement: PerCent | None = None
    bytes: int = Field(ge=0, lt=1 << 63)
    steps: int = Field(ge=0)
    curve: list[CurvePoint] = Field(default_factory=list)

    def lines(self) -> list[str]:
        """A sentence for the user."""
        goal = f"same answer on at least {self.agreement} % of images held aside"
        if self.size is not None:
            goal = f"a file of at most {words_of(self.size)}"
        return [f"bases and kept layers chosen for {goal}: {words_of(self.bytes)}"]


class FitRecord(Record):
    """How a binary network was fitted to its float parent, judged by images that it was not fitted on.

    Attributes:
        images, steps: what it was fitted on, and how often the optimiser stepped.
        seconds: that it took.
        error_before, error_after: the sum over the compared outputs of mean((h_b - h_f)²)/mean(h_f²).
        agreement_before, agreement_after: per cent of the images on which both networks have the same first
            answer; None for a network that does not answer with classes.
        outputs: module whose output was compared, "" for the logits -> its error before and after.
        allocation: how bits were allocated to layers first; None where that was the user's choice.
    """

    images: int = Field(ge=1)
    steps: int = Field(ge=0)
    seconds: float = Field(ge=0)
    error_before: Error
    error_after: Error
    agreement_before: PerCent | None = None
    agreement_after: PerCent | None = None
    outputs: dict[Annotated[str, Field(max_length=500)], tuple[Error, Error]] = Field(
        default_factory=dict
    )
    allocation: AllocationRecord | None = None

    def lines(self) -> list[str]:
        """Sentences for the user."""
        how = f"fitted on {self.images:,} images in {self.steps} steps"
        if not self.steps:
            how = f"batch norms measured on {self.images:,} images"
        found = self.allocation.lines() if self.allocation else []
        found += [
            f"{how}, {self.seconds:.0f} s: error {self.error_before:.3g} -> {self.error_after:.3g}"
        ]
        if self.agreement_before is not None and self.agreement_after is not None:
            found.append(
                f"same answer as the float model: {self.agreement_before:.1f} -> "
                f"{self.agreement_after:.1f} % of images held aside"
            )
        return found
