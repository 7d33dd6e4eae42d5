"""Checkpoints that people have: rows of the matrix in benchmarks/checkpoints.py, and the literature's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import checkpoints

import binarize
from binarize import models
from binarize.errors import CheckpointError
from binarize.models import load_checkpoint

ROWS = (
    *("prefix module._orig_mod.", "prefix model.", "prefix net.", "a wrapper inside"),
    *("in model_state_dict", "in generator_of_epoch_7", "in model.state_dict"),
    *("with state_dict_ema", "with model_ema, --no-ema", "only plain, --ema"),
    *("optimizer and epoch", "timm's arguments", "lightning", "counters of a profiler"),
    *("without num_batches_tracked", "float16", "torch.save called .safetensors"),
    *("safetensors called .pth", "a whole module", "a numpy number", "a plain pickle"),
    *("npz", "a web page", "Git LFS", "truncated", "truncated safetensors", "two unnamed states"),
    *("of another network", "of other classes"),
)
CASES = {case.title: case for case in checkpoints.cases()}


@pytest.mark.parametrize("title", ROWS)
def test_a_file_loads_or_is_told_what_it_is(title: str, tmp_path: Path) -> None:
    found = checkpoints.judge(CASES[title], "test_vit", tmp_path)
    assert found["good"], found


def saved(state: dict[str, torch.Tensor], folder: Path) -> Path:
    torch.save(state, folder / "w.pth")
    return folder / "w.pth"


def renamed(model: nn.Module, *names: tuple[str, str]) -> dict[str, torch.Tensor]:
    state = {}
    for key, value in model.state_dict().items():
        for ours, theirs in names:
            key = key.replace(ours, theirs)
        state[key] = value
    return state


@pytest.mark.parametrize(
    ("theirs", "shortcut", "said"),
    [("linear", "centre", "as in the code"), ("fc", "centre", "shortcut=end"), ("fc", "end", "")],
)
def test_the_classifier_of_a_cifar_resnet_says_how_it_pads(
    theirs: str, shortcut: str, said: str, tmp_path: Path
) -> None:
    model = models.create("cifar_resnet20")
    file = saved(renamed(model, ("fc.", f"{theirs}.")), tmp_path)
    other = models.create("cifar_resnet20", shortcut=shortcut)
    notes = " ".join(load_checkpoint(other, file).notes)
    assert torch.equal(other.fc.weight, model.fc.weight)
    assert said in notes if said else not notes


def test_the_literatures_resnet18_loads(tmp_path: Path) -> None:
    model, other = models.create("cifar_resnet18"), models.create("cifar_resnet18")
    names = (("fc.", "linear."), ("downsample", "shortcut"))
    load_checkpoint(other, saved(renamed(model, *names), tmp_path))
    assert torch.equal(other.layer2[0].downsample[0].weight, model.layer2[0].downsample[0].weight)


def test_torchvisions_and_timms_resnets_load_into_each_other(tmp_path: Path) -> None:
    theirs = models.create("torchvision/resnet18", num_classes=3)
    ours = timm.create_model("resnet18", num_classes=3)
    load_checkpoint(ours, saved(theirs.state_dict(), tmp_path))
    assert torch.equal(ours.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)


def test_timms_filter_names_the_weights(tmp_path: Path) -> None:
    """As the authors of ConvNeXt published it."""
    model, other = timm.create_model("test_convnext"), timm.create_model("test_convnext")
    state = renamed(
        model, ("stem.0", "downsample_layers.0.0"), ("head.fc", "head"), ("head.norm", "norm")
    )
    load_checkpoint(other, saved(state, tmp_path))
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())


def test_names_that_begin_like_a_wrapper_stay(tmp_path: Path) -> None:
    """A network whose own parts are called `model`."""
    net = nn.ModuleDict({"model": nn.Sequential(nn.Linear(2, 3)), "module": nn.Linear(3, 2)})
    for prefix in ("", "module.", "model._orig_mod."):
        other = nn.ModuleDict({"model": nn.Sequential(nn.Linear(2, 3)), "module": nn.Linear(3, 2)})
        load_checkpoint(other, saved(checkpoints.prefixed(net.state_dict(), prefix), tmp_path))
        assert torch.equal(other["module"].weight, net["module"].weight), prefix


def test_what_stands_beside_a_wrapped_network_is_named(tmp_path: Path) -> None:
    net, other = models.create("test_vit"), models.create("test_vit")
    for prefix in ("model.", "encoder."):
        whole = checkpoints.prefixed(net.state_dict(), prefix)
        beside = {"epoch": torch.tensor(3), "n_averaged": torch.tensor(9)}
        beside |= {"criterion.weight": torch.ones(5)} if prefix == "model." else {}
        (note,) = load_checkpoint(other, saved({**whole, **beside}, tmp_path)).notes
        assert torch.equal(other.head.weight, net.head.weight)
        assert note.startswith("not of the network: ")
        assert all(name in note for name in beside), note


def test_convert_says_which_of_two_states_it_takes(tmp_path: Path) -> None:
    model = models.create("test_vit")
    state, ema = model.state_dict(), checkpoints.other(model.state_dict())
    torch.save({"state_dict": state, "state_dict_ema": ema}, tmp_path / "w.pth.tar")
    for flag, wanted, words in ((None, ema, " (EMA)"), (False, state, "")):
        found = binarize.convert("test_vit", checkpoint=tmp_path / "w.pth.tar", ema=flag)
        assert torch.equal(found.state_dict()["head.weight"], wanted["head.weight"])
        assert found.binarize_info.weights == f"checkpoint w.pth.tar{words}"


def test_a_directory_and_nothing_are_no_checkpoint(tmp_path: Path) -> None:
    for file, words in ((tmp_path, "is a directory"), (tmp_path / "x", "there is no checkpoint")):
        with pytest.raises(CheckpointError, match=words):
            load_checkpoint(nn.Linear(1, 1), file)
