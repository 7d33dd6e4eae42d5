from __future__ import annotations

import pytest
import timm
import torch
from rewrite_toys import SIZE, Bypassed, Excited, Shared, Standardised, plain
from torch import nn

from binarize.errors import PatternError
from binarize.rewrite import Options, convert


def reasons_of(model: nn.Module, size: tuple[int, int, int] = SIZE, keep: tuple = ()) -> dict:
    rows = convert(model, Options(keep=keep, stem="keep"), size).rows
    assert all((row.action == "kept") == bool(row.reason) for row in rows)
    return {row.name: row.reason for row in rows if row.action == "kept"}


def test_what_is_kept_by_default_and_why() -> None:
    assert reasons_of(Excited()) == {
        "stem": "first layer",
        "depthwise": "depthwise",
        "reduce": "squeeze-excite or gate",
        "expand": "squeeze-excite or gate",
        "head": "classifier",
    }
    assert reasons_of(Bypassed()) == {"stem": "first layer", "head": "classifier"}
    assert reasons_of(Shared())["unused"] == "not executed"


def test_a_weight_that_its_module_transforms_is_kept() -> None:
    middle = nn.Sequential(Standardised(8, 8, 3, 1, 1), nn.Conv2d(8, 8, 1))
    reasons = reasons_of(plain(middle=middle))
    assert reasons["4.0"] == "its module transforms the weight before use"


def test_downsample_convolutions_are_binarized() -> None:
    kept = reasons_of(timm.create_model("resnet18"), (3, 64, 64))
    assert kept == {"conv1": "first layer", "fc": "classifier"}


def test_lstms_are_listed_as_kept() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 4, 4)
            self.lstm = nn.LSTM(8, 8, batch_first=True)
            self.middle = nn.Linear(8, 8)
            self.head = nn.Linear(8, 5)

        def forward(self, x):
            x = self.stem(x).flatten(2).transpose(1, 2)
            return self.head(self.middle(self.lstm(x)[0]).mean(1))

    assert reasons_of(Recurrent())["lstm"] == "LSTM"


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("layer4", 5),
        ("layer4.*", 5),
        ("layer?.0.downsample.0", 3),
        ("*.conv2", 8),
        ("layer1.0.conv1", 1),
    ],
)
def test_keep_takes_globs_on_layers_and_the_modules_around_them(pattern: str, kept: int) -> None:
    reasons = reasons_of(timm.create_model("resnet18"), (3, 64, 64), (pattern,))
    assert list(reasons.values()).count(f'keep "{pattern}"') == kept


def test_a_pattern_that_matches_nothing_names_what_there_is() -> None:
    with pytest.raises(PatternError, match=r'no layer matches keep "layer5\.\*"') as error:
        reasons_of(timm.create_model("resnet18"), (3, 64, 64), ("layer5.*",))
    assert "conv1, layer1, layer2, layer3, layer4, fc" in error.value.hint


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "mobilenetv3_small_050"])
def test_all_heads_of_a_timm_model_are_the_classifier(name: str) -> None:
    model = timm.create_model(name)
    heads = model.get_classifier()
    count = len(heads) if isinstance(heads, tuple) else 1
    reasons = reasons_of(model, (3, 224, 224))
    assert list(reasons.values()).count("classifier") == count


def test_a_fixed_filter_is_kept() -> None:
    class Blurred(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Linear(8, 5))
            self.register_buffer("blur", torch.ones(8, 1, 3, 3) / 9)

        def forward(self, x):
            x = nn.functional.conv2d(self[1](self[0](x)), self.blur, groups=8)
            return self[3](self[2](x).mean((2, 3)))

    assert reasons_of(Blurred())["blur"] == "a fixed filter, not a parameter"
