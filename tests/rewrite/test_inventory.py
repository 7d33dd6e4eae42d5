from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from rewrite_toys import SIZE, Bypassed, Excited, Shared, Standardised, plain
from torch import nn

from binarize.errors import ModelError
from binarize.layers import binarization_off
from binarize.rewrite import Options, convert
from binarize.rewrite.capture import capture
from binarize.rewrite.inventory import inventory


def layers_of(model: nn.Module, size: tuple[int, int, int] = SIZE) -> dict:
    return {layer.name: layer for layer in inventory(capture(model, size))}


def test_a_recording_leaves_the_model_alone() -> None:
    model = plain()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    capture(model, SIZE)
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_that_does_not_run_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="does not run on an image of 3x16x16") as error:
        capture(nn.Sequential(nn.Linear(7, 7)), SIZE)
    assert error.value.hint


def test_every_executed_layer_is_seen_with_what_feeds_it() -> None:
    layers = layers_of(Bypassed())
    assert list(layers) == ["stem", "qkv", "proj", "head"]
    feeders = [layer.fed_by for layer in layers.values()]
    assert feeders == ["input", "layer", "attention", "pool"]
    assert all(layer.direct and not layer.binary for layer in layers.values())


def test_shapes_parameters_and_macs_are_those_of_the_formulas() -> None:
    layers = layers_of(Excited())
    assert layers["stem"].macs == 8 * 8 * 8 * 3 * 9
    assert layers["depthwise"].macs == 8 * 8 * 8 * 9
    assert layers["reduce"].macs == 16
    assert layers["grouped"].macs == 8 * 8 * 12 * 4 * 9
    assert layers["grouped"].params == 12 * 4 * 9
    assert layers["head"].macs == 60
    assert [name for name, layer in layers.items() if layer.depthwise] == ["depthwise"]


def test_macs_of_a_layer_called_twice_count_twice() -> None:
    layers = layers_of(Shared())
    assert "tied" not in layers  # it is the same weight: one entry
    assert layers["twice"].macs == 3 * 14 * 14 * 6 * 6 * 9
    assert len(layers["twice"].nodes) == 3


def test_a_weight_that_is_transformed_before_use_is_not_direct() -> None:
    layers = layers_of(plain(middle=Standardised(8, 8, 3, 1, 1)))
    assert {name: layer.direct for name, layer in layers.items()} == {
        "0": True,
        "4": False,
        "7": True,
    }


def test_multi_head_attention_shows_both_its_weights() -> None:
    model = torchvision.models.VisionTransformer(32, 16, 2, 2, 16, 32, num_classes=5)
    layers = layers_of(model, (3, 32, 32))
    names = [name for name in layers if "layer_0" in name]
    assert names == [
        f"encoder.layers.encoder_layer_0.{name}"
        for name in (
            "self_attention.in_proj_weight",
            "self_attention.out_proj",
            "mlp.0",
            "mlp.3",
        )
    ]
    attention = "encoder.layers.encoder_layer_0.self_attention"
    assert (
        layers[f"{attention}.in_proj_weight"].macs == 5 * 48 * 16
    )  # 4 patches and the class token
    assert layers[f"{attention}.out_proj"].fed_by == "attention"


@pytest.mark.parametrize(
    ("name", "gmacs"), [("resnet18", 1.814), ("mobilenetv3_small_100", 0.0565), ("resnet50", 4.089)]
)
def test_macs_are_the_published_ones(name: str, gmacs: float) -> None:
    layers = layers_of(timm.create_model(name), (3, 224, 224))
    assert sum(layer.macs for layer in layers.values()) / 1e9 == pytest.approx(gmacs, rel=2e-3)


def test_a_model_that_is_switched_off_has_the_float_models_inventory() -> None:
    """torch's attention reads its weights several times before it multiplies."""

    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 8, 3)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = self.first(x).flatten(2).transpose(1, 2)
            return self.attention(tokens, tokens, tokens)[0]

    model = Attending()
    before = [layer.name for layer in inventory(capture(model, SIZE))]
    convert(model, Options(activations="step", stem="keep", include=("*",)), SIZE)
    with binarization_off(model):
        layers = inventory(capture(model, SIZE))
    assert [layer.name for layer in layers] == before
    assert not any(layer.binary for layer in layers)
