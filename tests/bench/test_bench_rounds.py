"""Taking turns, by a clock that the calls themselves move."""

from __future__ import annotations

import numpy as np
import pytest

from binarize.benching.rounds import take_turns


class Clock:
    """Seconds that pass only when a call lets them."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("rounds", [1, 5])
def test_each_call_is_made_once_a_round_and_the_first_one_moves_on(rounds: int) -> None:
    made: list[str] = []
    calls = [lambda name=name: made.append(name) for name in "abc"]
    take_turns(calls, rounds)
    expected = ["abc", "bca", "cab", "abc", "bca"][:rounds]
    assert ["".join(made[at : at + 3]) for at in range(0, len(made), 3)] == expected


def test_times_stand_under_whom_they_belong_to_in_milliseconds() -> None:
    clock = Clock()
    counts = [0, 0]

    def call(index: int) -> None:
        counts[index] += 1
        clock.now += (index + 1) / 1000 * counts[index]

    times = take_turns([lambda: call(0), lambda: call(1)], 3, clock=clock)
    np.testing.assert_allclose(times, [[1, 2, 3], [2, 4, 6]], rtol=1e-6)


def test_what_happens_between_rounds_takes_no_time() -> None:
    clock, told = Clock(), []

    def after_round(done: int) -> None:
        told.append(done)
        clock.now += 1000

    assert take_turns([lambda: None], 2, clock=clock, after_round=after_round).max() == 0
    assert told == [1, 2]
