"""Bit allocation: how many binary bases each layer gets, and which layers stay float, in so many bytes.

Each layer has choices: bytes, and what it costs the answers when it alone is like that. The costs of all
layers are taken to add up. Then no allocation of the same bytes has a smaller sum than one that upgrades
layers in the order of what an upgrade saves per byte, if each goes along the lower convex hull of its
choices: one that lies above it is never taken. (Everett, Operations Research 11, 1963; Shoham and Gersho,
IEEE TASSP 36, 1988.)

    cost  ·1                1, 2, 3, float: the choices of a layer; the hull is 1 - 2 - float
          |   ·             3 costs more per byte than going on to float
          |      2    ·3
          +-------------·float--- bytes
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FLOAT = 0
"""Bases of a layer that stays float."""

Allocation = dict[str, int]
"""Name of a layer -> its bases, or `FLOAT`."""


@dataclass(frozen=True)
class Choice:
    """What a layer may be.

    Attributes:
        bases: of its weight, or `FLOAT`.
        bytes: of its weight in the file.
        cost: of the answers, when this layer alone is like that; 0 as float.
    """

    bases: int
    bytes: int
    cost: float


Choices = Mapping[str, Sequence[Choice]]
"""Name of a layer -> what it may be."""


@dataclass(frozen=True)
class Upgrade:
    """A layer that goes on from one choice on its hull to the next, of more bytes."""

    layer: str
    before: Choice
    after: Choice

    @property
    def bytes(self) -> int:
        return self.after.bytes - self.before.bytes

    @property
    def saved_per_byte(self) -> float:
        return (self.before.cost - self.after.cost) / self.bytes


def smallest(choices: Choices) -> Allocation:
    """Every layer in as few bytes as it can be."""
    return {name: _hull(some)[0].bases for name, some in choices.items()}


def size_of(choices: Choices, allocation: Allocation) -> int:
    """Bytes of the weights of all layers."""
    return sum(_chosen(some, allocation[name]).bytes for name, some in choices.items())


def cost_of(choices: Choices, allocation: Allocation) -> float:
    """The sum of what the layers cost."""
    return sum(_chosen(some, allocation[name]).cost for name, some in choices.items())


def allocate(choices: Choices, limit: int) -> Allocation:
    """The allocation for `limit` bytes: never more, unless the smallest one has more already.

    Upgrades are made in order, and one that does not fit is passed over, with the later ones of its layer. A
    higher limit never gives a higher cost.
    """
    found = smallest(choices)
    left = limit - size_of(choices, found)
    full = set()
    for upgrade in upgrades(choices):
        if upgrade.layer in full:
            continue
        if upgrade.bytes > left:
            full.add(upgrade.layer)
            continue
        found[upgrade.layer] = upgrade.after.bases
        left -= upgrade.bytes
    return found


def limit_for(curve: Mapping[int, float], agreement: float) -> int:
    """Bytes from which on `curve`, bytes -> agreement, reaches `agreement`; between two points it is taken
    for straight. Where no point reaches it, those of the best point."""
    points = sorted(curve.items())
    wanted = min(agreement, max(found for _, found in points))
    for (low, below), (high, above) in itertools.pairwise(points):
        if below >= wanted:
            return low
        if above >= wanted:
            return low + math.ceil((high - low) * (wanted - below) / (above - below))
    return points[-1][0]


def upgrades(choices: Choices) -> list[Upgrade]:
    """All of them, what saves most per byte first; those of a layer in the order of its hull."""
    found: list[tuple[float, Upgrade]] = []
    for name, some in choices.items():
        hull, saved = _hull(some), math.inf
        for before, after in itertools.pairwise(hull):
            upgrade = Upgrade(name, before, after)
            saved = min(saved, upgrade.saved_per_byte)  # which rounding may raise by a bit
            found.append((saved, upgrade))
    return [upgrade for _, upgrade in sorted(found, key=lambda each: -each[0])]


def _hull(choices: Sequence[Choice]) -> list[Choice]:
    """The lower convex hull, from the fewest bytes to the lowest cost."""
    hull: list[Choice] = []
    for choice in sorted(choices, key=lambda each: (each.bytes, each.cost)):
        if hull and choice.cost >= hull[-1].cost:
            continue
        while len(hull) > 1 and _is_above(hull[-1], hull[-2], choice):
            hull.pop()
        hull.append(choice)
    return hull


def _is_above(middle: Choice, before: Choice, after: Choice) -> bool:
    """Whether `middle` saves no more per byte than what comes after it."""
    first = (before.cost - middle.cost) * (after.bytes - middle.bytes)
    return first <= (middle.cost - after.cost) * (middle.bytes - before.bytes)


def _chosen(choices: Sequence[Choice], bases: int) -> Choice:
    return next(each for each in choices if each.bases == bases)
