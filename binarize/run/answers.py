"""answers.json of a run that was trained on image files: which classes it takes for which others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from binarize.run.record import Record

Number = Annotated[int, Field(ge=0, lt=1 << 31)]
Probability = Annotated[float, Field(ge=0, le=1)]

LARGEST_PICTURE = 1 << 15
"""Letters of a small picture in base64."""


class WrongAnswer(Record):
    """An image that was taken for another class.

    Attributes:
        image: its path in the data set.
        label, answer: numbers of its class, and of the class that it was taken for.
        probability: of the answer, by softmax.
        of_label: of its own class.
        picture: a small JPEG in base64.
    """

    image: Annotated[str, Field(max_length=4096)]
    label: Number
    answer: Number
    probability: Probability
    of_label: Probability
    picture: Annotated[str, Field(max_length=LARGEST_PICTURE, pattern=r"^[A-Za-z0-9+/=]*$")] = ""


class Answers(Record):
    """What the trained network answered.

    Attributes:
        images: that it was asked: "test" images or "held-out" ones.
        classes: names, in the order of their numbers.
        counts: [label, answer, images] of each pair that occurs.
        worst: the images whose own class was thought least likely, of those that were taken for another.
    """

    images: Literal["test", "held-out"]
    classes: list[Annotated[str, Field(max_length=4096)]]
    counts: Annotated[list[tuple[Number, Number, Number]], Field(max_length=1 << 22)]
    worst: Annotated[list[WrongAnswer], Field(max_length=100)]

    def per_class(self) -> list[tuple[str, int, float | None, str]]:
        """(class, images, per cent of them that are right, the class that it is most often taken for) of each
        class; None and "" where there are none."""
        total, right = [0] * len(self.classes), [0] * len(self.classes)
        taken: dict[int, tuple[int, int]] = {}
        for label, answer, images in self._known():
            total[label] += images
            if answer == label:
                right[label] += images
            else:
                taken[label] = max(taken.get(label, (0, 0)), (images, -answer))
        return [
            (
                name,
                total[label],
                100 * right[label] / total[label] if total[label] else None,
                self.classes[-taken[label][1]] if label in taken else "",
            )
            for label, name in enumerate(self.classes)
        ]

    def confusions(self) -> list[tuple[str, str, int]]:
        """(class, class that it is taken for, images), the most frequent first."""
        found = [
            (images, label, answer) for label, answer, images in self._known() if label != answer
        ]
        found.sort(key=lambda one: (-one[0], one[1], one[2]))
        return [
            (self.classes[label], self.classes[answer], images) for images, label, answer in found
        ]

    def matrix(self, parts: int) -> list[list[int]]:
        """Images by the class that they are of (rows) and the one that they were taken for.

        Neighbouring classes are put together where there are more than `parts`.
        """
        size = min(parts, len(self.classes))
        cells = [[0] * size for _ in range(size)]
        for label, answer, images in self._known():
            row, column = (number * size // len(self.classes) for number in (label, answer))
            cells[row][column] += images
        return cells

    def _known(self) -> list[tuple[int, int, int]]:
        """The counts of classes that have a name."""
        known = len(self.classes)
        return [count for count in self.counts if count[0] < known and count[1] < known]

    def figures(self) -> dict[str, object]:
        """Plain data without pictures, for JSON."""
        names = self.classes
        return {
            "images": self.images,
            "classes": [
                {"class": name, "images": images, "top1": right}
                for name, images, right, _ in self.per_class()
            ],
            "confusions": [
                {"class": name, "answer": other, "images": images}
                for name, other, images in self.confusions()[:SHOWN]
            ],
            "worst": [
                {
                    "image": one.image,
                    "class": names[one.label],
                    "answer": names[one.answer],
                    "probability": one.probability,
                }
                for one in self.worst
                if max(one.label, one.answer) < len(names)
            ],
        }


SHOWN = 20
"""Pairs of classes in the JSON."""
