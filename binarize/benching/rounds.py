"""Take turns: whatever else the machine does in a round hits everything that is timed in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np


def take_turns(
    calls: Sequence[Callable[[], object]],
    rounds: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    after_round: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Milliseconds float64[calls, rounds]: in every round each call is made once.

    Who begins moves on by one from round to round, so that nobody always follows the same other, whose
    data is what the caches hold.
    """
    spent = np.zeros((len(calls), rounds))
    for number in range(rounds):
        for turn in range(len(calls)):
            index = (turn + number) % len(calls)
            began = clock()
            calls[index]()
            spent[index, number] = 1000 * (clock() - began)
        after_round(number + 1)
    return spent
