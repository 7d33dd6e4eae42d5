"""Which layers get how many bases, in so many bytes: figures alone, no networks."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binarize.fitting.allocation import (
    FLOAT,
    Choice,
    allocate,
    cost_of,
    limit_for,
    size_of,
    smallest,
    upgrades,
)


@st.composite
def layers(draw, most=4):
    """Choices of one to four layers: 1 to 4 bases and float, costs in any order but for float's, 0."""
    found = {}
    for number in range(draw(st.integers(1, most))):
        weights = draw(st.integers(8, 400))
        costs = draw(st.lists(st.integers(0, 50), min_size=4, max_size=4))
        found[f"layer{number}"] = [
            Choice(FLOAT, 32 * weights, 0),
            *(Choice(k, k * weights + 4, cost) for k, cost in enumerate(costs, 1)),
        ]
    return found


@given(layers(), st.integers(0, 60_000))
def test_there_are_never_more_bytes_than_the_limit(choices, limit):
    least = size_of(choices, smallest(choices))
    assert size_of(choices, allocate(choices, limit)) <= max(limit, least)


@given(layers(), st.integers(0, 60_000), st.integers(0, 60_000))
def test_a_higher_limit_never_costs_more(choices, one, other):
    low, high = sorted((one, other))
    assert cost_of(choices, allocate(choices, high)) <= cost_of(choices, allocate(choices, low))


@given(layers(most=3), st.data())
def test_nothing_is_better_in_the_bytes_of_a_whole_number_of_upgrades(choices, data):
    steps = upgrades(choices)
    count = data.draw(st.integers(0, len(steps)))
    limit = size_of(choices, smallest(choices)) + sum(step.bytes for step in steps[:count])
    others = (
        dict(zip(choices, (each.bases for each in some), strict=True))
        for some in itertools.product(*choices.values())
    )
    best = min(cost_of(choices, each) for each in others if size_of(choices, each) <= limit)
    assert cost_of(choices, allocate(choices, limit)) == best


def test_bits_go_where_they_save_most_per_byte():
    choices = {
        "small": [Choice(1, 10, 2.0), Choice(2, 20, 0.5), Choice(FLOAT, 320, 0.0)],
        "large": [Choice(1, 100, 3.0), Choice(2, 200, 1.0), Choice(FLOAT, 3200, 0.0)],
    }
    assert allocate(choices, 119) == {"small": 1, "large": 1}
    assert allocate(choices, 120) == {"small": 2, "large": 1}
    assert allocate(choices, 220) == {"small": 2, "large": 2}
    assert allocate(choices, 520) == {"small": FLOAT, "large": 2}
    assert allocate(choices, 3520) == {"small": FLOAT, "large": FLOAT}


def test_what_does_not_fit_leaves_room_for_what_does():
    choices = {
        "large": [Choice(1, 100, 9.0), Choice(2, 200, 0.0)],
        "small": [Choice(1, 10, 0.1), Choice(2, 20, 0.0)],
    }
    assert allocate(choices, 150) == {"large": 1, "small": 2}


def test_a_choice_above_the_hull_is_passed_over():
    choices = {"a": [Choice(1, 10, 4.0), Choice(2, 20, 3.9), Choice(3, 30, 0.0)]}
    assert allocate(choices, 29) == {"a": 1}
    assert allocate(choices, 30) == {"a": 3}


def test_where_a_curve_reaches_an_agreement():
    curve = {100: 50.0, 200: 70.0, 400: 90.0}
    assert limit_for(curve, 40) == 100
    assert limit_for(curve, 70) == 200
    assert limit_for(curve, 80) == 300
    assert limit_for(curve, 99) == 400
    assert limit_for({100: 50.0, 200: 80.0, 400: 70.0}, 90) == 200


@given(
    st.dictionaries(st.integers(1, 10_000), st.floats(0, 100), min_size=1),
    st.floats(0, 100),
)
def test_it_is_within_the_curve(curve, agreement):
    assert min(curve) <= limit_for(curve, agreement) <= max(curve)


@pytest.mark.parametrize("count", [1, 3])
def test_equal_choices_are_taken_in_the_order_of_the_layers(count):
    some = [Choice(1, 10, 1.0), Choice(2, 20, 0.0)]
    choices = dict.fromkeys("abc", some)
    found = allocate(choices, 30 + 10 * count)
    assert [found[name] for name in "abc"] == [2] * count + [1] * (3 - count)
