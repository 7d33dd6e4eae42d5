"""What a measurement comes to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from binarize.runtime.profile import NodeTime


@dataclass(frozen=True)
class Result:
    """One file in one way of running it.

    Attributes:
        file: what it was called; of a float model that was built for this, its name.
        form: "packed", "float", …; "float-int8": onnxruntime's static quantisation of the float model.
        kernels: whether the binarize kernels computed its binary layers; else stock onnxruntime did.
        threads: within an operator.
        batch: images per run.
        median_ms, p10_ms, p90_ms: milliseconds of a run.
        ratio_to_float: median of the rounds' ratios to the float model's time; 0.5 is twice as fast.
        load_ms: median milliseconds until a session is ready.
        peak_mb: most memory, in 10^6 bytes, that loading and running added in a process of its own; None
            where the system does not tell, or that process failed.
        bytes: of the file.
        max_diff: with kernels, the largest difference of a logit to stock onnxruntime on the same images,
            over the largest logit; None without.
    """

    file: str
    form: str
    kernels: bool
    threads: int
    batch: int
    median_ms: float
    p10_ms: float
    p90_ms: float
    ratio_to_float: float
    load_ms: float
    peak_mb: float | None
    bytes: int
    max_diff: float | None


@dataclass(frozen=True)
class Profile:
    """The nodes of one file in one way of running it, the longest first."""

    file: str
    form: str
    kernels: bool
    nodes: list[NodeTime]


@dataclass(frozen=True)
class Bench:
    """All results; the profiles of the files, where they were asked for; what to know beside the figures."""

    results: list[Result]
    profiles: list[Profile] | None = None
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> Any:
        """The JSON of `binarize bench`: a list of results; with `--profile` that, and one of nodes."""
        results = [asdict(result) for result in self.results]
        if self.profiles is None:
            return results
        nodes = [
            {"file": one.file, "form": one.form, "kernels": one.kernels, **asdict(node)}
            for one in self.profiles
            for node in one.nodes
        ]
        return {"results": results, "profile": nodes}
