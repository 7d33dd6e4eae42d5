"""The CIFAR networks: sizes from the papers, timm's interface, export with any batch size."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from binarize import models
from binarize.errors import ModelError
from binarize.models.cifar import OptionAShortcut

NAMES = ("cifar_resnet20", "cifar_resnet18", "cifar_vgg_small")


@pytest.mark.parametrize(
    ("name", "parameters", "layers"),
    [
        ("cifar_resnet20", 269_722, 20),
        ("cifar_resnet32", 464_154, 32),
        ("cifar_resnet44", 658_586, 44),
        ("cifar_resnet56", 853_018, 56),
        ("cifar_resnet110", 1_727_962, 110),
        ("cifar_resnet18", 11_173_962, 21),  # 18, and three 1x1 shortcuts
        ("cifar_vgg_small", 4_660_106, 7),
    ],
)
def test_size(name: str, parameters: int, layers: int) -> None:
    model = models.create(name)
    weighted = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert len(weighted) == layers


@pytest.mark.parametrize("name", NAMES)
def test_timm_knows_it(name: str) -> None:
    model = timm.create_model(name, num_classes=7).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        logits = model(images)
        assert torch.equal(model.forward_head(model.forward_features(images)), logits)
    assert logits.shape == (2, 7)
    assert model.get_classifier() is model.fc
    assert model.pretrained_cfg["input_size"] == (3, 32, 32)
    model.reset_classifier(3)
    assert model(images).shape == (2, 3)
    assert model.num_classes == 3


@pytest.mark.parametrize("name", NAMES)
def test_feature_maps_have_the_sizes_they_claim(name: str) -> None:
    model = timm.create_model(name, features_only=True)
    maps = model(torch.randn(1, 3, 32, 32))
    claimed = zip(model.feature_info.channels(), model.feature_info.reduction(), strict=True)
    assert [(m.shape[1], 32 // m.shape[2]) for m in maps] == list(claimed)


@pytest.mark.parametrize("name", NAMES)
def test_other_image_size(name: str) -> None:
    model = models.create(name, img_size=64, num_classes=5)
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 5)


@pytest.mark.parametrize("name", NAMES)
def test_export_with_any_batch_size(name: str) -> None:
    model = models.create(name).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        model, (torch.randn(2, 3, 32, 32),), dynamic_shapes=({0: batch},), strict=False
    )
    for size in (1, 3):
        images = torch.randn(size, 3, 32, 32)
        torch.testing.assert_close(program.module()(images), model(images))


def test_option_a_shortcut_has_no_parameters_and_keeps_every_second_pixel() -> None:
    shortcut = OptionAShortcut(stride=2, extra=3, padding="end")
    x = torch.arange(2 * 2 * 5 * 5.0).reshape(2, 2, 5, 5)
    y = shortcut(x)
    assert not list(shortcut.parameters())
    assert y.shape == (2, 5, 3, 3)
    assert torch.equal(y[:, :2], x[:, :, ::2, ::2])
    assert not y[:, 2:].any()


@pytest.mark.parametrize("doubled", [2, 16, 32])
def test_option_a_shortcut_pads_a_quarter_of_the_channels_before_and_a_quarter_after(
    doubled: int,
) -> None:
    x = torch.randn(2, doubled, 5, 6)
    y = OptionAShortcut(stride=2, extra=doubled)(x)
    quarter = doubled * 2 // 4
    expected = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, quarter, quarter))
    assert torch.equal(y, expected)


def test_option_a_shortcut_of_an_odd_number_of_channels() -> None:
    x = torch.ones(1, 2, 2, 2)
    y = OptionAShortcut(stride=1, extra=3)(x)
    assert y[0, :, 0, 0].tolist() == [0, 1, 1, 0, 0]


def test_where_a_resnet_pads_its_shortcuts() -> None:
    """The parameters are the same; the networks are not."""
    assert models.describe("cifar_resnet20").kwargs == {"shortcut": "centre"}
    assert models.describe("cifar_resnet110", shortcut="end").kwargs == {"shortcut": "end"}
    assert "shortcut" not in models.describe("cifar_resnet18").kwargs
    centre, end = models.create("cifar_resnet20"), models.create("cifar_resnet20", shortcut="end")
    end.load_state_dict(centre.state_dict())
    for name, before in (("layer2", 16), ("layer3", 32)):
        x = torch.randn(1, before, 4, 4)
        pixels, zeros = x[:, :, ::2, ::2], torch.zeros(1, before // 2, 2, 2)
        padded = torch.cat([zeros, pixels, zeros], 1)
        assert torch.equal(getattr(centre, name)[0].downsample(x), padded)
        padded = torch.cat([pixels, zeros, zeros], 1)
        assert torch.equal(getattr(end, name)[0].downsample(x), padded)
    images = torch.randn(1, 3, 32, 32)
    assert not torch.equal(centre.eval()(images), end.eval()(images))
    with pytest.raises(ModelError, match="shortcut should be"):
        models.create("cifar_resnet20", shortcut="middle")


def test_resnet18_stem_keeps_the_image_size() -> None:
    model = models.create("cifar_resnet18")
    assert isinstance(model.maxpool, nn.Identity)
    assert model.layer1(model.maxpool(model.conv1(torch.randn(1, 3, 32, 32)))).shape[-1] == 32
