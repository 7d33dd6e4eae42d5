"""The host sends work to the device and waits for nothing, but where a number is printed.

Without a GPU: what would make the host wait there is an operation of its own here, too.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import train_toys as toys
from accelerate.data_loader import DataLoaderShard
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from train_modes import MODES, train

from binarize.estimators import TABLE
from binarize.evaluation import targets
from binarize.models.precision import full_precision
from binarize.training.stages import RunningStage

WAITS = {
    "aten::_local_scalar_dense": "a number read from a tensor",
    "aten::lift_fresh": "a tensor made of a number",
    "aten::nonzero": "a tensor whose size depends on values",
    "aten::masked_select": "a tensor whose size depends on values",
    "aten::equal": "a comparison that is answered here",
}


class NoWaits(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.name().partition(".")[0]
        assert name not in WAITS, f"{name}: {WAITS[name]}"
        masks = [
            x for x in tree_leaves(args) if isinstance(x, torch.Tensor) and x.dtype == torch.bool
        ]
        assert not (name.startswith("aten::index") and masks), f"{name}: the places of a mask"
        return func(*args, **(kwargs or {}))


@pytest.fixture
def steps(monkeypatch):
    """What every step returned; none of them may wait."""
    original, found = RunningStage.step, []

    def step(self, *args):
        with NoWaits():
            total = original(self, *args)
        found.append(total)
        return total

    monkeypatch.setattr(RunningStage, "step", step)
    return found


@pytest.mark.parametrize("name", MODES)
def test_no_mode_reads_a_number_in_a_step(name, steps, tmp_path):
    train(MODES[name], tmp_path)
    assert [float(total[0]) for total in steps] == [toys.BATCH] * 6


@pytest.mark.parametrize("estimator", TABLE)
def test_a_step_reads_no_number(estimator, tmp_path, steps):
    stage = {"steps": 2, "optimizer": {"name": "momentum", "lr": 0.05}, "clip_grad": 1.0}
    more = {"ema": {"decay": 0.9}, "estimator": estimator}
    chosen = toys.recipe({**stage, **more}, binarize={"estimator": estimator})
    toys.train(chosen, tmp_path)
    assert [float(total[0]) for total in steps] == [toys.BATCH, toys.BATCH]


def test_the_guard_sees_a_wait():
    with NoWaits(), pytest.raises(AssertionError, match="made of a number"):
        torch.ones(2).new_tensor(1.0)
    with NoWaits(), pytest.raises(AssertionError, match="read from"):
        torch.ones(()).item()
    with NoWaits(), pytest.raises(AssertionError, match="places of a mask"):
        torch.ones(2)[torch.ones(2) > 0]


def test_batches_go_to_the_device_without_a_wait():
    loaders = toys.trainer(toys.recipe()).loaders
    assert isinstance(loaders.train, DataLoaderShard)
    assert loaders.train._non_blocking


class Asked(nn.Module):
    """Notes which precision its convolutions would have on a GPU."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.rounded: list[tuple[bool, bool]] = []

    def forward(self, images: torch.Tensor) -> Any:
        backends = torch.backends.cudnn, torch.backends.cuda.matmul
        self.rounded.append(tuple(backend.allow_tf32 for backend in backends))
        return self.model(images)


@pytest.fixture
def tf32():
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = True
    yield
    cudnn.allow_tf32, matmul.allow_tf32 = before


@pytest.mark.usefixtures("tf32")
def test_training_scores_in_the_precision_of_evaluation(tmp_path, monkeypatch):
    model = Asked(toys.network(binary=False))
    toys.train(toys.recipe({**toys.STAGE, "epochs": 1}), tmp_path, model=model)
    steps = toys.IMAGES // toys.BATCH
    assert model.rounded[:steps] == [(True, True)] * steps
    assert set(model.rounded[steps:]) == {(False, False)}

    asked = Asked(toys.network(binary=False))
    monkeypatch.setattr(targets.rewrite, "build", lambda _: asked)
    targets.torch_predictor(tmp_path)(torch.zeros(1, 3, 6, 6))
    assert asked.rounded == [(False, False)]


@pytest.mark.usefixtures("tf32")
def test_the_precision_is_given_back_after_an_error():
    with pytest.raises(KeyError), full_precision():
        raise KeyError
    assert torch.backends.cudnn.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32
