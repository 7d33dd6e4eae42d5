"""The progress of a loop of one's own is the one that `train` gives its estimators."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import binarize
from binarize.errors import ModelError, TrainingError
from binarize.layers import binary_weights
from binarize.recipe import load
from binarize.training.estimator_progress import EstimatorProgress
from binarize.training.plan import build_schedule


@pytest.fixture
def model():
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)), nn.Flatten())
    return binarize.convert(net, img_size=4, estimator="ab-tanh")


def progress(model) -> float:
    (one,) = {binarizer.progress for *_, binarizer in binary_weights(model)}
    return one


def test_every_step_has_the_progress_of_train(model):
    """Two epochs of five steps each, as the engine counts them."""
    recipe = load("digits", ["stages.0.epochs=2", "stages.0.schedule=constant"])
    engine = EstimatorProgress(recipe, per_epoch=5, own=())
    plan = build_schedule(recipe.stages, 5)
    wanted = [engine.update(model, epoch, step) for epoch in plan for step in range(epoch.steps)]
    schedule, given = binarize.Schedule(model, steps=10), []
    for _ in range(10):
        given.append(progress(model))
        schedule.step()
    assert given == pytest.approx(wanted)
    assert (given[0], given[-1]) == (0, 1)
    assert progress(model) == 1


def test_a_resumed_loop_goes_on_where_it_was(model):
    first = binarize.Schedule(model, steps=11)
    for _ in range(4):
        first.step()
    state, before = first.state_dict(), progress(model)
    assert before == pytest.approx(0.4)
    again = binarize.Schedule(nn.Sequential(model), steps=3)  # a wrapper, and another length
    assert progress(model) == 0
    again.load_state_dict(torch.load(saved(state), weights_only=True))
    assert progress(model) == before
    again.step()
    assert progress(model) == again.progress == pytest.approx(0.5)


def saved(state):
    import io

    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file


def test_one_step_and_no_model_to_speak_of(model):
    assert binarize.Schedule(model, steps=1).progress == 0
    with pytest.raises(ModelError, match="no weight of this model is binary"):
        binarize.Schedule(nn.Linear(2, 2), steps=1)
    with pytest.raises(TrainingError, match="0 steps"):
        binarize.Schedule(model, steps=0)
    with pytest.raises(TypeError):
        binarize.Schedule(model, steps=2.5)
