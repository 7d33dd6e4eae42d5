"""Images that live on the training device, in training: shares, seeds, resuming."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import train_runs as tiny
from safetensors.torch import load_file

from binarize import data
from binarize.data import ResidentLoader
from binarize.models import default_preprocess
from binarize.recipe import Data
from binarize.training.device import shard_test, shard_train
from binarize.training.seeding import EpochSeeds

AUGMENT = {"crop_padding": 1, "hflip": 0.5, "re_prob": 0.2}
DEVICE = {"cache": "device", "augment": AUGMENT}
PREPROCESS = default_preprocess("cifar_resnet20")


def loader() -> ResidentLoader:
    config = Data(name="digits", batch_size=64, augment=AUGMENT, cache="device")
    return data.train_loader(config, PREPROCESS)


def process(index: int, count: int) -> SimpleNamespace:
    return SimpleNamespace(device=torch.device("cpu"), process_index=index, num_processes=count)


@pytest.mark.parametrize("shard", [shard_train, shard_test])
def test_each_process_gets_its_share(shard) -> None:
    shares = []
    for index in (0, 1):
        share = shard(loader(), process(index, 2))
        EpochSeeds(7, index, share).start(3)
        shares.append(next(iter(share)))
    whole = shard(loader(), process(0, 1))
    EpochSeeds(7, 0, whole).start(3)
    for first, second, both in zip(*shares, next(iter(whole)), strict=True):
        assert len(first) == len(second) == 32
        assert torch.equal(torch.cat([first, second]), both)


def test_every_epoch_has_an_order_and_changes_of_its_own() -> None:
    one = loader()
    seeds = EpochSeeds(7, 0, one)
    epochs = []
    for number in (1, 2, 1):
        seeds.start(number)
        epochs.append(torch.cat([images for images, _ in one]))
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path / "last" / "model.safetensors")


def test_a_training_that_was_cut_ends_with_the_same_weights(tmp_path: Path) -> None:
    recipe = tiny.recipe(2, **tiny.BINARY, data=DEVICE)
    tiny.finish(recipe, tmp_path / "whole")
    with pytest.raises(tiny.Killed):
        tiny.train(recipe, out=tmp_path / "cut", progress=tiny.KillIn("binarized", 2))
    tiny.train(resume=tmp_path / "cut")
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[key], cut[key]) for key in whole)


def test_mixup_and_held_out_images(tmp_path: Path) -> None:
    stage = {"epochs": 1, "mixup": 0.2, "optimizer": {"name": "momentum", "lr": 0.05}}
    held = {**DEVICE, "holdout": 200}
    result = tiny.finish(tiny.recipe(stages=[stage], **tiny.BINARY, data=held), tmp_path / "run")
    assert result.epochs == 1
