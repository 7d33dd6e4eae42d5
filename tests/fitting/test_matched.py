"""Which inner outputs are compared: found in the graph of any network."""

from __future__ import annotations

import pytest
import torch
from fitting_toys import SIDE, network
from torch import nn
from torch.nn import functional as F

from binarize.fitting import matched_outputs
from binarize.models import create
from binarize.rewrite import Options, SourceOptions, capture, convert_float, inventory, open_float
from binarize.run import ModelSpec


def matched(model: nn.Module, *binary: str, size: int = SIDE) -> list[str]:
    return matched_outputs(capture(model, (3, size, size)), binary)


def test_the_norm_behind_a_layer_or_the_layer_itself():
    assert matched(network(), "3", "6") == ["4", "7"]
    assert matched(network(norm=False), "3", "6") == ["3", "6"]
    assert matched(network(), "6") == ["7"]
    assert matched(network()) == []


class Shared(nn.Module):
    """A convolution behind which something else than its norm looks too, one without a module of its own,
    and a module that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.twice = nn.Conv2d(3, 3, 1)
        self.block = Functional()
        self.last = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.a(x)
        x = self.norm(a) + a
        x = self.twice(self.twice(x))
        return self.last(self.block(x)[0].mean((2, 3)))


class Functional(nn.Module):
    """Answers with a pair, which is no output to compare; what it holds is."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Module()
        self.inner.weight = nn.Parameter(torch.randn(3, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
        return F.conv2d(x, self.inner.weight), 0


def test_odd_places():
    model = Shared()
    assert matched(model, "a") == ["a"]  # its norm does not see it alone
    assert matched(model, "twice") == ["twice"]
    assert (
        matched(model, "block.inner") == []
    )  # around it, only the whole network answers with a tensor
    assert matched(model, "last") == ["last"]


@pytest.mark.parametrize(
    ("name", "size", "kind"),
    [
        ("resnet18", 32, nn.BatchNorm2d),
        ("vit_tiny_patch16_224", 224, nn.Linear),
        ("convnext_atto", 32, (nn.Linear, nn.Conv2d)),
        ("densenet121", 32, nn.Module),
        ("swin_tiny_patch4_window7_224", 224, nn.Linear),
    ],
)
def test_every_binary_layer_of_a_library_model_is_seen(name, size, kind):
    opened = open_float(name, SourceOptions(pretrained=False, img_size=size))
    done = convert_float(opened, Options(stem="keep"), values=False).conversion
    binary = {row.name for row in done.rows if row.action == "binarized"}
    names = matched_outputs(done.trace, binary)
    assert 0 < len(names) <= len(binary)
    assert len(names) >= 0.9 * len(binary)
    float_model = create(ModelSpec(name=name, library="timm"))
    assert all(isinstance(float_model.get_submodule(each), kind) for each in names)


def test_a_binary_network_is_matched_as_its_parent_is():
    """Hooks are set by these names on both."""
    opened = open_float(network(), SourceOptions(img_size=SIDE))
    done = convert_float(opened, Options(stem="keep"), values=False).conversion
    binary = [layer.name for layer in inventory(done.trace)][1:-1]
    assert matched_outputs(done.trace, binary) == matched(done.model, *binary) == ["4", "7"]
