"""Files that hold weights, or something else, and tensors at the edge of what is checked."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from binarize.errors import CheckpointError
from binarize.models import load_checkpoint
from binarize.run.weights import check_values, load_weights


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_tensors_of_one_value_and_of_none() -> None:
    one = nn.Linear(1, 1)
    one.register_parameter("none", nn.Parameter(torch.empty(0)))
    check_values(one, "the model")
    with torch.no_grad():
        one.bias.fill_(math.nan)
    with pytest.raises(CheckpointError, match='"bias" of the model holds NaN'):
        check_values(one, "the model")


def test_a_variance_may_be_0_where_no_epsilon_is_named() -> None:
    norm = nn.Module()
    norm.register_buffer("running_var", torch.zeros(3))
    check_values(norm, "the model")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load_weights(net(), tmp_path / name)


class Runs:
    """What a pickle may hold: a call, made when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_nothing_that_a_pickle_holds_is_run(tmp_path: Path) -> None:
    torch.save({**net().state_dict(), "x": Runs(tmp_path / "touched")}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        load_checkpoint(net(), tmp_path / "w.pth")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("content", [{"epoch": 3}, [torch.zeros(1)], torch.zeros(1)])
def test_what_is_no_state_dict(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_checkpoint(net(), tmp_path / "w.pth")


def test_a_state_dict_inside_a_checkpoint(tmp_path: Path) -> None:
    trained = net()
    parallel = {f"module.{key}": value for key, value in trained.state_dict().items()}
    for key in ("state_dict", "model", "state_dict_ema"):
        torch.save({"epoch": 3, key: parallel}, tmp_path / "w.pth")
        other = net()
        load_checkpoint(other, tmp_path / "w.pth")
        assert torch.equal(other[0].weight, trained[0].weight)


def test_a_name_of_100_letters_is_told_whole(tmp_path: Path) -> None:
    for length, told in ((100, "x" * 100), (101, "x" * 99 + "…")):
        save_file({**net().state_dict(), "x" * length: torch.zeros(1)}, tmp_path / "w.safetensors")
        with pytest.raises(CheckpointError, match=rf"1 unknown \({told}\)"):
            load_weights(net(), tmp_path / "w.safetensors")


def test_what_has_no_values_is_not_looked_at() -> None:
    check_values(nn.Linear(3, 3, device="meta"), "the model")
