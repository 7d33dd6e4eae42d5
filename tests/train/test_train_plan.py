from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from train_toys import recipe

from binarize.errors import TrainingError
from binarize.training.plan import build_schedule, stage_steps

OPTIMIZER = {"name": "sgd", "lr": 0.1}
durations = st.lists(
    st.tuples(st.sampled_from(["epochs", "steps"]), st.integers(1, 40)), min_size=1, max_size=4
)


def stages_of(pairs):
    return recipe(*({kind: count, "optimizer": OPTIMIZER} for kind, count in pairs)).stages


def test_an_epoch_is_a_pass_and_the_last_one_of_a_stage_may_be_cut():
    epochs = build_schedule(stages_of([("epochs", 2), ("steps", 7)]), per_epoch=5)
    assert [(e.number, e.stage, e.start, e.before, e.steps, e.last_of_stage) for e in epochs] == [
        (1, 0, 0, 0, 5, False),
        (2, 0, 5, 5, 5, True),
        (3, 1, 0, 10, 5, False),
        (4, 1, 5, 15, 2, True),
    ]


@given(pairs=durations, per_epoch=st.integers(1, 17))
def test_every_step_is_in_exactly_one_epoch(pairs, per_epoch):
    stages = stages_of(pairs)
    epochs = build_schedule(stages, per_epoch)
    assert [epoch.number for epoch in epochs] == list(range(1, len(epochs) + 1))
    assert sum(epoch.steps for epoch in epochs) == sum(stage_steps(s, per_epoch) for s in stages)
    assert all(0 < epoch.steps <= per_epoch for epoch in epochs)
    assert sum(epoch.last_of_stage for epoch in epochs) == len(stages)
    for before, after in itertools.pairwise(epochs):
        assert after.before == before.before + before.steps


def test_fewer_images_than_a_batch():
    with pytest.raises(TrainingError, match="fewer training images"):
        build_schedule(stages_of([("epochs", 1)]), per_epoch=0)


@pytest.mark.parametrize("stage", [("epochs", 10**4000), ("steps", 2**63), ("steps", 300_001)])
def test_a_plan_without_end_is_refused_before_it_is_made(stage):
    with pytest.raises(TrainingError, match="more than 100,000 epochs"):
        build_schedule(stages_of([stage]), per_epoch=3)


def test_a_long_one_is_not_refused():
    assert len(build_schedule(stages_of([("steps", 900_000), ("epochs", 100)]), 1000)) == 1000
