"""A run in words, for its page, its card and the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from binarize.reporting.facts import Facts

AGREES = "images without labels, same answer as the teacher"


def describe_run(facts: Facts) -> str:
    """`1-bit weights, ab-tanh` or `float`."""
    if not facts.binary:
        return "float"
    conversion = facts.info.conversion
    inputs = conversion.activations if conversion else "float"
    bits = "1-bit weights" if inputs == "float" else f"1-bit weights and {inputs} inputs"
    return f"{bits}, {facts.estimators()[0].name}"


def scores(facts: Facts) -> list[tuple[str, str]]:
    """(what, `83.08 % top-1, 99.10 % top-5`) of the last epoch, the best one and the float baseline; of a
    training without labels (what, `83.08 %`)."""
    figures = facts.figures()
    few = 0 < len(facts.info.classes) <= 5  # top-5 of so few is always 100 %
    found = [("last epoch, test images", _score(figures["test"], few))]
    best = figures["best"]
    if best is not None:
        found.append(
            (
                f"best epoch ({best['epoch']}), chosen and measured on {figures['best_on']}",
                f"{best['top1']:.2f} % top-1",
            )
        )
    if figures["agreement"] is not None:
        found.append((f"last epoch, {AGREES}", f"{figures['agreement']:.2f} %"))
    best = figures["agreement_best"]
    if best is not None:
        found.append((f"best epoch ({best['epoch']}), {AGREES}", f"{best['agreement']:.2f} %"))
    if figures["float"] is not None:
        found.append(("float baseline, last epoch, test images", _score(figures["float"], few)))
    return [(what, score) for what, score in found if score]


def _score(score: Mapping[str, float | None], few: bool) -> str:
    names = (("top1", "top-1"), *[("top5", "top-5")] * (not few))
    return ", ".join(f"{score[key]:.2f} % {name}" for key, name in names if score[key] is not None)


def size(count: int) -> str:
    """`3.44 MiB (3,610,112 bytes)`."""
    for unit, power in (("MiB", 20), ("KiB", 10)):
        if count >= 1 << power:
            return f"{count / (1 << power):.2f} {unit} ({count:,} bytes)"
    return f"{count:,} bytes"
