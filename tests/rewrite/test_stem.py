from __future__ import annotations

import pytest
import timm
import torch
from rewrite_toys import SIZE, Bypassed, plain
from torch import nn

from binarize.errors import ModelError
from binarize.rewrite import Options, convert


def stem_of(option: str, size: tuple[int, int, int] = SIZE) -> tuple[nn.Module, list[str]]:
    model = plain()
    return model, convert(model, Options(stem=option), size).notes


@pytest.mark.parametrize(
    ("option", "img_size", "replaced"),
    [
        ("auto", 64, True),
        ("auto", 65, False),
        ("keep", 32, False),
        ("cifar", 128, True),
    ],
)
def test_when_the_stem_is_replaced(option: str, img_size: int, replaced: bool) -> None:
    model, notes = stem_of(option, (3, img_size, img_size))
    assert (model[0].kernel_size == (3, 3)) == replaced
    assert isinstance(model[3], nn.Identity) == replaced
    assert bool(notes) == replaced


def test_the_new_stem_keeps_the_image_size() -> None:
    model = timm.create_model("resnet18")
    convert(model, Options(), (3, 32, 32))
    assert model.forward_features(torch.randn(1, 3, 32, 32)).shape[-2:] == (4, 4)


def test_a_stem_that_does_not_shrink_is_left_alone() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 196, 2)
    )
    first = model[0]
    assert convert(model, Options(), SIZE).notes == []
    assert model[0] is first


def test_patches_are_no_stem() -> None:
    model = Bypassed()
    assert convert(model, Options(stem="auto"), SIZE).notes == []
    with pytest.raises(ModelError, match="no convolutional stem"):
        convert(Bypassed(), Options(stem="cifar"), SIZE)
