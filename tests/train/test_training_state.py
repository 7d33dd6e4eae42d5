"""How far a training is, and what ends a stage early: without training anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from binarize.errors import CheckpointError, TrainingError
from binarize.recipe.schema import EarlyStop
from binarize.training.accuracy import Scores
from binarize.training.training_state import TrainingState


def scores(top1: float, top5: float = 90.0) -> Scores:
    return Scores(loss=1.0, top1=top1, top5=top5, images=8)


def test_a_new_one_has_done_nothing_and_is_worse_than_any():
    counts = dict.fromkeys(["epochs", "trained", "per_epoch", "best_epoch", "stage_epoch"], 0)
    numbers = dict.fromkeys(["top1", "top5", "seconds"], 0.0)
    assert vars(TrainingState()) == {**counts, **numbers, "best_top1": -1.0, "stage_top1": -1.0}


def test_the_best_epoch_is_the_first_of_the_highest_accuracy():
    state = TrainingState()
    told = [state.update_best(n, scores(top1), True) for n, top1 in enumerate([0.0, 50, 50, 40], 1)]
    assert told == [True, True, False, False]
    assert (state.best_top1, state.best_epoch) == (50, 2)
    assert (state.top1, state.top5) == (40, 90)


def test_a_network_that_is_only_partly_binary_is_never_the_best():
    state = TrainingState()
    assert not state.update_best(1, scores(99.0), whole=False)
    assert (state.best_top1, state.best_epoch, state.top1) == (-1.0, 0, 99.0)


def test_a_stage_ends_so_many_epochs_after_its_best():
    state, rule = TrainingState(), EarlyStop(patience=2, min_delta=1.0)
    # 51 is not more than 50 + 1, and 51.5 is; then two that are not
    accuracies = [50.0, 51.0, 51.5, 52.5, 50.0]
    told = [state.stops(number, top1, rule) for number, top1 in enumerate(accuracies, 1)]
    assert told == [False, False, False, False, True]
    assert (state.stage_top1, state.stage_epoch) == (51.5, 3)


def test_without_a_rule_it_goes_on_and_still_knows_the_best_of_the_stage():
    state = TrainingState()
    assert not any(state.stops(number, 50.0, None) for number in range(1, 30))
    assert (state.stage_top1, state.stage_epoch) == (50.0, 1)


def test_the_first_epoch_of_a_stage_is_its_best_whatever_it_reached():
    state, rule = TrainingState(), EarlyStop(patience=1)
    assert not state.stops(1, 80.0, rule)
    state.end_stage()
    assert (state.stage_top1, state.stage_epoch) == (-1.0, 0)
    assert not state.stops(2, 10.0, rule)
    assert (state.stage_top1, state.stage_epoch) == (10.0, 2)


def test_another_number_of_steps_an_epoch_is_other_data():
    state = TrainingState(per_epoch=7)
    state.check(7)
    with pytest.raises(TrainingError, match="an epoch was 7 steps and is 8 now"):
        state.check(8)


def test_it_comes_back_from_what_a_checkpoint_holds_and_more_may_be_there():
    state = TrainingState(3, 2, 5, 40.0, 90.0, 41.0, 2, 41.0, 2, 12.5)
    assert TrainingState.of({**vars(state), "later": 1}, Path("last")) == state


@pytest.mark.parametrize("stored", [{}, {"epochs": 3}, None, []])
def test_what_is_no_state_is_refused(stored):
    with pytest.raises(CheckpointError, match="another version"):
        TrainingState.of(stored, Path("last"))
