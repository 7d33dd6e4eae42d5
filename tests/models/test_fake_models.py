"""Networks created without data: the same network, none of its memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from binarize import models
from binarize.models.fake import create_fake, without_data
from binarize.rewrite import Options, convert, image_size

NAMES = (
    "resnet10t",
    "test_vit2",
    "swin_tiny_patch4_window7_224",  # masks
    "ecaresnet50d_pruned",  # copies layers of a first model
    "torchvision/googlenet",  # initialises until it is content
)


def shapes(model: nn.Module) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {key: (value.shape, value.dtype) for key, value in model.state_dict().items()}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_network_that_create_makes(name):
    fake, real = create_fake(name), models.create(name)
    assert shapes(fake) == shapes(real)
    assert [type(m) for m in fake.modules()] == [type(m) for m in real.modules()]
    assert all(isinstance(p, FakeTensor) for p in fake.parameters())
    assert all(isinstance(p, nn.Parameter) for p in fake.parameters())


def test_a_network_larger_than_memory_is_created_and_converted():
    model = create_fake("vit_giant_patch14_224", depth=16, embed_dim=8192, num_classes=10)
    assert 4 * sum(p.numel() for p in model.parameters()) > 40e9
    model.blocks = model.blocks[:2]
    rows = convert(model, Options(), image_size(model, 224), values=False).rows
    assert [row.action for row in rows].count("binarized") == 8


@pytest.mark.parametrize("name", ["resnet10t", "test_vit2", "torchvision/shufflenet_v2_x0_5"])
def test_it_converts_like_the_real_one(name):
    size = (3, *[models.default_preprocess(name).img_size] * 2)
    tables = [
        convert(model, Options(), size, values=False).rows
        for model in (create_fake(name), models.create(name))
    ]
    assert tables[0] == tables[1]
    assert any(row.action == "binarized" for row in tables[0])


def test_drop_rates_are_those_of_the_real_one():
    given = {"drop_path_rate": 0.3}
    fake, real = create_fake("test_vit2", **given), models.create("test_vit2", **given)
    rates = [
        [m.drop_prob for m in model.modules() if hasattr(m, "drop_prob")] for model in (fake, real)
    ]
    assert rates[0] == rates[1]
    assert max(rates[0]) == pytest.approx(0.3)


def test_only_what_is_made_in_the_block_has_no_data():
    with without_data() as mode:
        layer = nn.Linear(3, 5)
    assert layer.weight.fake_mode is mode
    assert not isinstance(nn.Linear(3, 5).weight, FakeTensor)
