"""Finding and replacing the classifier in both libraries' networks and in a caller's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from binarize import models
from binarize.errors import ModelError

NAMES = [
    "resnet18",
    "mobilenetv3_small_100",
    "vit_tiny_patch16_224",
    "torchvision/resnet18",
    "torchvision/squeezenet1_1",  # its classifier is a convolution
    "torchvision/vgg11",
    "torchvision/densenet121",
    "torchvision/mobilenet_v3_small",
    "torchvision/swin_t",
    "torchvision/vit_b_16",
    "torchvision/googlenet",
]


@pytest.mark.parametrize("name", NAMES)
def test_reset(name: str) -> None:
    with torch.device("meta"):
        model = models.create(name).eval()
        assert models.num_classes(model) == 1000
        models.reset_classifier(model, 7)
        logits = model(torch.empty(2, 3, 224, 224))
    assert logits.shape == (2, 7)
    assert models.num_classes(model) == 7
    assert not any(module.training for module in model.modules())


def test_reset_keeps_everything_else() -> None:
    model = models.create("torchvision/squeezenet1_1")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    models.reset_classifier(model, 1000)
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"classifier.1.weight", "classifier.1.bias"}


def test_reset_keeps_dtype_and_absent_bias() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 10, bias=False)).double()
    models.reset_classifier(model, 2)
    assert model[1].weight.shape == (2, 4)
    assert model[1].weight.dtype == torch.float64
    assert model[1].bias is None


def test_a_network_without_a_classifier() -> None:
    with pytest.raises(ModelError, match="no classifier"):
        models.num_classes(nn.Sequential(nn.ReLU()))
