"""One epoch on a GPU: no step waits for the device, and it ends where the CPU's does."""

from __future__ import annotations

import pytest
import torch
from accelerate.state import PartialState
from train_modes import MODES, train

from binarize.training.stages import RunningStage

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

ALLOWED = {"mixed-precision": 0.05}
"""Largest difference of a loss. Else 1e-3: sums in another order, and a sign that they flip."""


@pytest.fixture
def losses(monkeypatch):
    """Of every step since it was emptied; on a GPU a step that waits for it is an error."""
    found: list[torch.Tensor] = []
    original = RunningStage.step

    def step(self, update, images, *more):
        wanted = "error" if images.is_cuda else "default"
        torch.cuda.set_sync_debug_mode(wanted)
        try:
            total = original(self, update, images, *more)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        found.append(total[1] / total[0])
        return total

    monkeypatch.setattr(RunningStage, "step", step)
    yield found
    PartialState._reset_state()


@pytest.fixture
def exact(monkeypatch):
    """Float32 is float32: TF32 would be another training."""
    for backend in (torch.backends.cudnn, torch.backends.cuda.matmul):
        monkeypatch.setattr(backend, "allow_tf32", False)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("name", MODES)
def test_it_is_that_of_the_cpu(name, losses, tmp_path, monkeypatch):
    came_out = {}
    for device in ("cpu", "cuda"):
        monkeypatch.setenv("ACCELERATE_USE_CPU", str(device == "cpu").lower())
        PartialState._reset_state()
        torch.manual_seed(0)
        model = train(MODES[name], tmp_path / device)
        assert next(model.parameters()).device.type == device
        came_out[device] = torch.stack(losses).cpu()
        losses.clear()
    assert len(came_out["cpu"]) == 6
    difference = (came_out["cuda"] - came_out["cpu"]).abs().max()
    assert difference < ALLOWED.get(name, 1e-3)


def test_the_guard_sees_a_wait(losses):
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchron"):
            torch.ones((), device="cuda").item()
    finally:
        torch.cuda.set_sync_debug_mode("default")
