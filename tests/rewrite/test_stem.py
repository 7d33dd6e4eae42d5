from __future__ import annotations

import copy
import importlib
from pathlib import Path

import pytest
import timm
import torch
from rewrite_toys import SIZE, Bypassed, plain
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

import binarize
from binarize import api, converting
from binarize.errors import ModelError
from binarize.models.pretrained import PretrainedWeights
from binarize.rewrite import Options, SourceOptions, convert
from binarize.run.weights import read_state

CLI_OPTION = "--stem cifar"


@pytest.mark.parametrize(
    ("option", "img_size", "random_weights", "replaced", "noted"),
    [
        ("auto", 64, True, True, True),
        ("auto", 65, True, False, False),
        ("auto", 64, False, False, True),
        ("auto", 65, False, False, False),
        ("keep", 32, True, False, False),
        ("cifar", 128, False, True, True),
    ],
)
def test_when_the_stem_is_replaced(
    option: str, img_size: int, random_weights: bool, replaced: bool, noted: bool
) -> None:
    model = plain()
    size = (3, img_size, img_size)
    notes = convert(model, Options(stem=option), size, random_weights=random_weights).notes
    assert (model[0].kernel_size == (3, 3)) == replaced
    assert isinstance(model[3], nn.Identity) == replaced
    assert bool(notes) == noted
    assert any(CLI_OPTION in note for note in notes) == (noted and not replaced)


def test_an_image_that_is_small_one_way_alone_is_not_small() -> None:
    model = plain()
    notes = convert(model, Options(stem="auto"), (3, 128, 32), random_weights=True).notes
    assert (model[0].kernel_size, notes) == ((7, 7), [])
    notes = convert(plain(), Options(stem="cifar"), (3, 48, 32)).notes
    assert any("for images of 48x32 pixels" in note for note in notes)


def test_the_new_stem_keeps_the_image_size() -> None:
    model = timm.create_model("resnet18")
    convert(model, Options(), (3, 32, 32), random_weights=True)
    assert model.forward_features(torch.randn(1, 3, 32, 32)).shape[-2:] == (4, 4)


def test_a_stem_that_does_not_shrink_is_left_alone() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 196, 2)
    )
    first = model[0]
    for random_weights in (False, True):
        converted = convert(copy.deepcopy(model), Options(), SIZE, random_weights=random_weights)
        assert converted.notes == []
    assert model[0] is first


def test_patches_are_no_stem() -> None:
    model = Bypassed()
    assert convert(model, Options(stem="auto"), SIZE, random_weights=True).notes == []
    with pytest.raises(ModelError, match="no convolutional stem"):
        convert(Bypassed(), Options(stem="cifar"), SIZE)


class Flat(nn.Module):
    """What follows the stem takes exactly as many values as it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.pool = nn.Conv2d(3, 8, 3, 2, 1), nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8 * 4 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.conv2(self.pool(F.relu(self.conv1(x))))).flatten(1))


class UNet(nn.Module):
    """An image to an image of half its size, whatever that is."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, 2, 1)
        self.middle = nn.Conv2d(8, 8, 3, 1, 1)
        self.up = nn.Conv2d(16, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.down(x))
        return self.up(torch.cat([F.relu(self.middle(x)), x], 1))


class Features(nn.Module):
    """A feature extractor: several tensors of several sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.net = plain()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        stem = self.net[:4](x)
        return {"stem": stem, "middle": self.net[4](stem)}


class Repeated(nn.Module):
    """One pooling module that runs after every convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        return self.fc(self.pool(F.relu(self.conv2(x))).mean((2, 3)))


@pytest.mark.parametrize("kind", [plain, Flat, UNet, Features, Repeated])
def test_every_weight_of_a_module_of_ones_own_stays(kind: type[nn.Module]) -> None:
    model = kind().eval()
    converted = binarize.convert(model, img_size=16)
    state, own = converted.state_dict(), model.state_dict()
    assert state.keys() == own.keys()
    assert all(torch.equal(state[key], own[key]) for key in own)
    image = torch.randn(2, 3, 16, 16)
    before, after = model(image), converted(image)
    if isinstance(before, dict):
        before, after = before["middle"], after["middle"]
    assert after.shape == before.shape


def test_weights_of_a_checkpoint_and_of_a_run_stay(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet", num_classes=4).state_dict()
    save_file(state, tmp_path / "w.safetensors")
    source = SourceOptions(checkpoint=tmp_path / "w.safetensors", num_classes=4, img_size=32)
    saved = api.convert_to_run("test_resnet", Options(), source, out=tmp_path / "first")
    again = api.convert_to_run(
        tmp_path / "first", Options("ste"), SourceOptions(img_size=16), out=tmp_path / "second"
    )
    for run, notes in ((saved.run, saved.conversion.notes), (again.run, again.conversion.notes)):
        kept = read_state(run / "model.safetensors")
        assert all(torch.equal(kept[key], state[key]) for key in state)
        assert any(CLI_OPTION in note for note in notes)


@pytest.mark.parametrize(
    ("asked", "found", "stem", "replaced"),
    [
        ("auto", True, "auto", False),
        ("auto", False, "auto", False),
        (True, True, "auto", False),
        (False, True, "auto", True),
        ("auto", True, "cifar", True),
    ],
)
def test_a_stem_goes_only_where_random_weights_were_asked_for(
    monkeypatch, asked: bool | str, found: bool, stem: str, replaced: bool
) -> None:
    """Not where pretrained ones were not found: what is asked for says it, not the network at hand."""
    trained = timm.create_model("test_resnet")
    create = importlib.import_module("binarize.models.create")
    weights = PretrainedWeights("timm test_resnet", found, "https://nowhere.invalid")
    monkeypatch.setattr(create.weights_of, "find", lambda *_: weights)
    monkeypatch.setattr(create.weights_of, "answers", lambda _: False)
    monkeypatch.setattr(create, "_build_pretrained", lambda *_: (copy.deepcopy(trained), ["fc"]))
    source = SourceOptions(pretrained=asked, img_size=32)
    made = converting.make("test_resnet", Options(stem=stem), source)
    conv = made.conversion.model.get_submodule("conv1.0")
    loaded = asked is not False and found
    assert made.info.weights.startswith("pretrained" if loaded else "random")
    assert (made.conversion.replay.replaced_stem is not None) == replaced
    assert (conv.stride == (1, 1)) == replaced
    if loaded and not replaced:
        assert torch.equal(conv.weight, trained.get_submodule("conv1.0").weight)
    assert any(CLI_OPTION in note for note in made.conversion.notes) == (not replaced)
    random = {row.name for row in made.conversion.rows if row.weights == "random"}
    new = {"fc"} | ({"conv1.0"} if replaced else set())
    assert random == (new if loaded else {row.name for row in made.conversion.rows})
    assert made.info.random == (sorted(new) if loaded else [])


def test_a_run_remembers_that_its_weights_are_random(tmp_path: Path) -> None:
    source = SourceOptions(pretrained=False, img_size=32)
    saved = api.convert_to_run("test_resnet", Options(), source, out=tmp_path / "first")
    again = converting.make(saved.run, Options("ste"), SourceOptions(num_classes=3))
    assert again.info.weights == "random (run first)"
    assert again.info.has_random_weights
    assert {row.weights for row in again.conversion.rows} == {"random"}


@pytest.mark.parametrize("kind", [Flat, UNet, Features])
def test_auto_keeps_a_stem_that_the_rest_of_the_network_needs(kind: type[nn.Module]) -> None:
    model = kind()
    state = copy.deepcopy(model.state_dict())
    conversion = convert(model, Options(), SIZE, random_weights=True)
    assert conversion.replay.replaced_stem is None
    assert "is kept" in conversion.notes[0]
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_asked_for_a_small_stem_says_what_it_breaks() -> None:
    with pytest.raises(ModelError, match=r"3x3 with stride 1.*does not run"):
        convert(Flat(), Options(stem="cifar"), SIZE)
    conversion = convert(UNet(), Options(stem="cifar"), SIZE)
    assert "3x16x16, no longer 3x8x8" in conversion.notes[0]


def test_a_pooling_that_runs_elsewhere_too_stays() -> None:
    conversion = convert(Repeated(), Options(stem="cifar"), SIZE)
    assert conversion.replay.replaced_stem.pool is None
    assert isinstance(conversion.model.pool, nn.MaxPool2d)
