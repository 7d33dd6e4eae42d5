"""Which classes a network takes for which, as the report page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from binarize.run import Answers

NAMED = 30
"""Classes that have a row of their own in tables and in the matrix; of more, the worst do, and neighbours in
the matrix are put together."""
NUMBERED = 15
"""Rows of a matrix whose cells are wide enough for numbers."""
PLOT = 420
"""Pixels of the matrix."""
MARGIN = 110
LETTERS = 16


@dataclass(frozen=True)
class Cell:
    """A square of the matrix.

    Attributes:
        x, y: its corner.
        share: of the row's images, which is its colour.
        images: in it.
        title: what is said of it.
    """

    x: float
    y: float
    share: float
    images: int
    title: str


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix, ready to be drawn: a row for each class, a column for what it was taken for."""

    side: float
    labels: list[tuple[float, str]]
    cells: list[Cell]
    numbers: bool
    together: int

    @classmethod
    def of(cls, answers: Answers) -> Matrix:
        counts = answers.matrix(NAMED)
        size = len(counts)
        side = PLOT / max(size, 1)
        names = _names(answers.classes, size)
        cells = [
            Cell(
                MARGIN + column * side,
                row * side,
                images / sum(counts[row]),
                images,
                f"{names[row]} taken for {names[column]}: {images:,}",
            )
            for row in range(size)
            for column, images in enumerate(counts[row])
            if images
        ]
        labels = [(row * side + side / 2, _short(name)) for row, name in enumerate(names)]
        return cls(side, labels, cells, size <= NUMBERED, -(-len(answers.classes) // max(size, 1)))


def _names(classes: list[str], size: int) -> list[str]:
    """Of each row; `cat … dog` where several classes share it."""
    groups: list[list[str]] = [[] for _ in range(size)]
    for number, name in enumerate(classes):
        groups[number * size // len(classes)].append(name)
    return [group[0] if len(group) == 1 else f"{group[0]} … {group[-1]}" for group in groups]


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"


def class_rows(answers: Answers) -> list[list[Any]]:
    """Rows of the table of classes: all of a few; of many those that are right least often."""
    rows = answers.per_class()
    if len(rows) > NAMED:
        asked = [row for row in rows if row[2] is not None]
        rows = sorted(asked, key=lambda row: (row[2] or 0.0, row[0]))[:NAMED]
    return [
        [name, other, f"{images:,}", "" if right is None else f"{right:.1f}"]
        for name, images, right, other in rows
    ]


def values(answers: Answers | None) -> dict[str, Any]:
    """What the template takes."""
    if answers is None:
        return {"answers": None}
    names = answers.classes
    return {
        "answers": answers,
        "matrix": Matrix.of(answers),
        "class_rows": class_rows(answers),
        "shown_classes": NAMED,
        "pairs": answers.confusions()[:NAMED] if len(names) > NAMED else [],
        "worst": [
            {
                "picture": one.picture,
                "image": one.image,
                "label": names[one.label],
                "answer": names[one.answer],
                "percent": f"{100 * one.probability:.1f}",
            }
            for one in answers.worst
            if max(one.label, one.answer) < len(names)
        ],
    }
