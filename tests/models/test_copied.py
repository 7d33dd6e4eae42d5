"""Copies of modules whose weights were computed by a forward, and of those that have no copy."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import binarize
from binarize.errors import ModelError
from binarize.layers import binary_weights
from binarize.models import copied

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def net() -> nn.Sequential:
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(n, 8, 3, padding=1) for n in (3, 8, 8)]
    return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


def pruned() -> nn.Sequential:
    model = net()
    prune.l1_unstructured(model[1], "weight", 0.5)
    model(IMAGES)
    return model


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
def test_weights_that_a_forward_left_are_copied() -> None:
    model = net()
    nn.utils.weight_norm(model[2])
    prune.l1_unstructured(model[1], "weight", 0.5)
    before = model(IMAGES)
    copy = copied(model)
    assert torch.equal(copy(IMAGES), before)
    copy[1].weight_orig.data.zero_()
    assert torch.equal(model(IMAGES), before)


def test_a_pruned_layer_stays_float_and_the_network_exports(tmp_path) -> None:
    model = binarize.convert(pruned(), img_size=16)
    assert [name for name, *_ in binary_weights(model)] == ["2"]
    model(IMAGES).sum().backward()  # which leaves a computed weight behind
    assert binarize.export(model, tmp_path / "m.onnx").parity == "exact"


class Single(nn.Module):
    """As FSDP's modules and many that hold a handle do."""

    def __deepcopy__(self, memo: object) -> nn.Module:
        raise AssertionError("there is one of me\nand no other")


def test_a_module_that_has_no_copy_is_refused() -> None:
    refused = pytest.raises(ModelError, match=r"Sequential cannot be copied: there is one of me$")
    with refused as error:
        binarize.convert(nn.Sequential(net(), Single()), img_size=16)
    assert error.value.hint
