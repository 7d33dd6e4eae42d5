from __future__ import annotations

import copy

import pytest
import timm
import torch
from rewrite_toys import SIZE, Bypassed, Excited, Shared, plain
from torch import nn

from binarize import models
from binarize.errors import BinarizeError, EstimatorError, ModelError
from binarize.layers import binarization_off, binary_weights
from binarize.rewrite import Options, convert, replay, verify
from binarize.rewrite.model_part import ModelPart

TOYS = [plain, Bypassed, Excited, Shared]


@pytest.mark.parametrize("toy", TOYS)
def test_binarized_rows_are_exactly_the_layers_with_binary_weights(toy) -> None:
    model = toy()
    rows = convert(model, Options(stem="keep"), SIZE).rows
    binarized = {row.name for row in rows if row.action == "binarized"}
    owners = {name for name, *_ in binary_weights(model)}
    assert binarized
    assert binarized <= owners
    assert owners - binarized <= {"tied"}  # owns the parameter that "twice" is listed for


@pytest.mark.parametrize("toy", TOYS)
def test_with_binarization_off_the_output_is_the_float_models(toy) -> None:
    torch.manual_seed(0)
    model = toy().double().eval()
    image = torch.randn(3, *SIZE, dtype=torch.float64)
    before = model(image)
    keys = list(model.state_dict())
    convert(model, Options(stem="keep"), SIZE)
    assert list(model.state_dict()) == keys
    assert not torch.allclose(model(image), before)
    with binarization_off(model):
        torch.testing.assert_close(model(image), before, rtol=1e-10, atol=0)


def test_binary_weights_have_two_values_per_channel() -> None:
    model = Bypassed()
    convert(model, Options(), SIZE)
    for row in model.qkv.weight.detach():
        assert set(row.tolist()) == {float(row.max()), -float(row.max())}


def test_a_converted_model_trains() -> None:
    model = Excited()
    convert(model, Options(), SIZE)
    model(torch.randn(2, *SIZE)).square().mean().backward()
    latent = dict(model.named_parameters())["point.weight"]
    assert latent.grad is not None
    assert latent.grad.abs().sum() > 0


def test_replay_makes_the_same_model_without_tracing() -> None:
    torch.manual_seed(0)
    model = timm.create_model("resnet18", num_classes=7)
    options = Options(
        estimator={"name": "ab-arctan", "a_end": 0.5},
        scale="layer",
        standardise=False,
        keep=("layer2",),
    )
    conversion = convert(model, options, (3, 32, 32))
    assert conversion.notes
    again = replay(timm.create_model("resnet18", num_classes=7), conversion.replay)
    again.load_state_dict(model.state_dict())
    image = torch.randn(2, 3, 32, 32)
    assert torch.equal(model.eval()(image), again.eval()(image))
    assert [b.extra_repr() for *_, b in binary_weights(again)] == [
        b.extra_repr() for *_, b in binary_weights(model)
    ]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"estimator": "ab-tan"}, EstimatorError),
        ({"estimator": {"name": "ab-tanh", "a": 1}}, EstimatorError),
        ({"scale": "chanel"}, BinarizeError),
        ({"stem": "small"}, BinarizeError),
    ],
)
def test_unknown_options_are_refused_with_a_hint(options: dict, error: type) -> None:
    with pytest.raises(error) as caught:
        Options(**options)
    assert caught.value.hint


def test_the_gate_catches_a_layer_that_is_bypassed() -> None:
    class Sly(nn.Sequential):
        """Reads the latent weight behind the binary one's back."""

        def forward(self, x):
            x = self[1](self[0](x))
            return self[3](torch.conv2d(x, self[2]._parameters["weight"]).mean((2, 3)))

    model = Sly(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.Linear(8, 5))
    with pytest.raises(ModelError, match='layer "2" is bypassed'):
        convert(model, Options(), SIZE)


def test_the_gate_catches_values_that_change() -> None:
    model = plain().eval()
    part = ModelPart(model, SIZE)
    before = verify.logits(part)
    verify.verify_values(before, part)
    with torch.no_grad():
        model[4].weight.mul_(1.01)
    with pytest.raises(ModelError, match="changed the float model's output"):
        verify.verify_values(before, part)


def test_the_gate_catches_keys_that_change() -> None:
    model = plain()
    keys = set(model.state_dict())
    model.add_module("late", nn.Linear(1, 1))
    with pytest.raises(ModelError, match=r"late\."):
        verify.verify_keys(keys, model)


def test_a_second_conversion_finds_nothing_left_to_do() -> None:
    model = plain()
    convert(model, Options(stem="keep"), SIZE)
    before = copy.deepcopy(list(binary_weights(model)))
    with pytest.raises(ModelError, match="converted already"):
        convert(model, Options(stem="keep"), SIZE)
    assert len(before) == len(list(binary_weights(model)))


def test_a_note_says_how_many_blocks_were_changed_and_why_others_were_not():
    model = models.create("cifar_resnet20")
    options = Options(activations="sign", structure="bireal", stem="keep")
    notes = convert(model, options, (3, 32, 32), values=False).notes
    assert notes == [
        "structure: 18 ReLUs replaced, 9 shortcuts added; left as they are: 9 (bypassed already)"
    ]
