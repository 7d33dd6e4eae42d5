"""The networks of the literature's tables: their multiply-accumulates and bits, counted by hand, and that
they convert with float, step and sign inputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from binarize import converting, models, rewrite
from binarize.layers import set_progress
from binarize.rewrite import Conversion, Options, totals
from binarize.rewrite.calibration import CalibrationImages

FLOAT = {}
STEP = {"activations": "step"}
BIREAL = {"activations": "sign", "structure": "bireal"}
REACTNET = {"activations": "sign", "structure": "reactnet"}
SIZES = {"cifar_vgg_small": 32, "cifar_resnet18": 32, "resnet34": 224}

# A 3x3 convolution from c to d channels has 9cd weights, each used once per pixel of its output.
VGG_BITS = 9 * (128 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 512 * 512)
VGG_MACS = 9 * (
    128 * 128 * 32**2 + (128 * 256 + 256 * 256) * 16**2 + (256 * 512 + 512 * 512) * 8**2
)
VGG_FLOAT_MACS = 9 * 3 * 128 * 32**2 + 512 * 4 * 4 * 10


def resnet(blocks: tuple[int, ...], side: int) -> tuple[int, int, int]:
    """(weights of the 3x3 convolutions in its blocks, their MACs, MACs of the 1x1 shortcuts)."""
    bits = macs = shortcuts = 0
    before = 64
    for stage, count in enumerate(blocks):
        width, pixels = 64 * 2**stage, (side // 2**stage) ** 2
        weights = 9 * (before * width + (2 * count - 1) * width * width)
        bits, macs = bits + weights, macs + weights * pixels
        shortcuts += before * width * pixels if before != width else 0
        before = width
    return bits, macs, shortcuts


R18 = resnet((2, 2, 2, 2), 32)
R18_FLOAT_MACS = 9 * 3 * 64 * 32**2 + 512 * 10
R34 = resnet((3, 4, 6, 3), 56)
R34_FLOAT_MACS = 49 * 3 * 64 * 112**2 + 512 * 1000
SHORTCUTS = 64 * 128 + 128 * 256 + 256 * 512  # weights of the 1x1 convolutions


def converted(name: str, options: dict[str, str], **source: object) -> Conversion:
    torch.manual_seed(0)
    size = SIZES[name]
    source_options = rewrite.SourceOptions(pretrained=False, img_size=size, **source)
    made = converting.make(name, Options(**options), source_options, values=False)
    return made.conversion


@pytest.mark.parametrize(
    ("name", "options", "bits", "macs", "float_macs"),
    [
        ("cifar_vgg_small", FLOAT, VGG_BITS, VGG_MACS, VGG_FLOAT_MACS),
        ("cifar_vgg_small", STEP, VGG_BITS, VGG_MACS, VGG_FLOAT_MACS),
        ("cifar_resnet18", FLOAT, R18[0] + SHORTCUTS, R18[1] + R18[2], R18_FLOAT_MACS),
        ("cifar_resnet18", STEP, R18[0], R18[1], R18_FLOAT_MACS + R18[2]),
        ("resnet34", FLOAT, R34[0] + SHORTCUTS, R34[1] + R34[2], R34_FLOAT_MACS),
        ("resnet34", REACTNET, R34[0], R34[1], R34_FLOAT_MACS + R34[2]),
    ],
)
def test_bits_and_macs(
    name: str, options: dict[str, str], bits: int, macs: int, float_macs: int
) -> None:
    conversion = converted(name, options)
    sums = totals(conversion, bytes_packed=0)
    assert sum(row.params for row in conversion.rows if row.action == "binarized") == bits
    assert (sums.macs_1bit, sums.macs_32bit) == (macs, float_macs)


def test_the_hand_counts_are_the_known_ones() -> None:
    assert VGG_BITS == 4_571_136
    assert R18[0] + SHORTCUTS == 11_157_504
    assert R34[1] + R34[2] + R34_FLOAT_MACS == 3_663_761_408


@pytest.mark.parametrize("options", [FLOAT, STEP, BIREAL, REACTNET])
@pytest.mark.parametrize("name", ["cifar_vgg_small", "cifar_resnet18", "resnet34"])
def test_first_and_last_layer_stay_float(name: str, options: dict[str, str]) -> None:
    rows = converted(name, options).rows
    weighted = [row for row in rows if row.macs]
    assert "binarized" not in (weighted[0].action, weighted[-1].action)
    inputs = {row.activations for row in rows if row.action == "binarized"}
    assert inputs == {options.get("activations", "float")}


@pytest.mark.parametrize("options", [FLOAT, STEP, BIREAL, REACTNET])
def test_vgg_small_learns_in_every_form(options: dict[str, str]) -> None:
    """A narrow one, on a few images that differ in brightness; every parameter has a gradient."""
    torch.manual_seed(0)
    float_model = rewrite.open_float(
        "cifar_vgg_small",
        rewrite.SourceOptions(pretrained=False, num_classes=4, kwargs={"channels": (16, 16, 32)}),
    )
    images = CalibrationImages(None)
    model = rewrite.convert_float(float_model, Options(**options), images=images).conversion.model
    set_progress(model.train(), 0.5)
    labels = torch.arange(32) % 4
    pixels = torch.randn(32, 3, 32, 32) + labels[:, None, None, None]
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    losses = []
    for _ in range(15):
        loss = nn.functional.cross_entropy(model(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0], losses
    assert all(p.grad is not None for p in model.parameters())
    assert model.eval()(pixels).shape == (32, 4)


def test_vgg_small_is_that_of_the_tables() -> None:
    model = models.create("cifar_vgg_small")
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [128, 128, 256, 256, 512, 512]
    assert {m.kernel_size for m in convolutions} == {(3, 3)}
    assert sum(isinstance(m, nn.MaxPool2d) for m in model.modules()) == 3
    assert model.fc.in_features == 512 * 4 * 4
