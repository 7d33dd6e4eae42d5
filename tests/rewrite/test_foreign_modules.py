"""Modules that other tools have made: torch.export, torch.jit, torch.compile, DataParallel, pickle."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import timm
import torch
from rewrite_toys import plain
from torch import Tensor, nn
from torch.nn import functional as F

import binarize
from binarize import converting
from binarize.errors import BinarizeError, ModelError
from binarize.layers import binary_weights
from binarize.rewrite import Options, SourceOptions

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
ANY_BATCH = ({0: torch.export.Dim("batch")},)


def exported(model: nn.Module, training: bool = False) -> nn.Module:
    return torch.export.export(model.train(training), (IMAGES,), dynamic_shapes=ANY_BATCH).module()


def names(model: nn.Module) -> set[str]:
    return {name for name, *_ in binary_weights(model)}


@pytest.mark.parametrize("activations", ["float", "step"])
def test_what_torch_export_made_has_the_same_layers(activations: str) -> None:
    model = timm.create_model("test_resnet").eval()
    first = binarize.convert(model, img_size=32, activations=activations)
    second = binarize.convert(exported(model), img_size=32, activations=activations)
    assert names(first) == names(second) != set()
    with torch.no_grad():
        assert torch.equal(first.eval()(IMAGES), second.eval()(IMAGES))


def test_its_images_are_those_that_it_was_exported_with() -> None:
    grey = plain(nn.Conv2d(1, 8, 3, 2, 1)).eval()
    images = torch.zeros(2, 1, 24, 24)
    module = torch.export.export(grey, (images,), dynamic_shapes=ANY_BATCH).module()
    info = converting.make(module, Options()).info
    assert info.preprocess.img_size == 24


def test_one_batch_alone_is_refused_with_what_to_do() -> None:
    module = torch.export.export(plain().eval(), (IMAGES,)).module()
    with pytest.raises(ModelError) as refusal:
        binarize.convert(module)
    assert "dynamic_shapes" in refusal.value.hint


class Computed(nn.Module):
    """Weights that are computed, and matrices that no layer multiplies."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.middle = nn.Conv2d(3, 8, 3), nn.Linear(8, 8)
        self.base, self.other = (nn.Parameter(torch.randn(8, 8)) for _ in range(2))
        self.a, self.b = nn.Parameter(torch.randn(2, 8)), nn.Parameter(torch.randn(8, 2))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).mean((2, 3))
        x = self.middle(F.linear(x, self.base + self.b @ self.a).relu())
        return self.head(torch.einsum("bi,oi->bo", x, self.other))


def test_computed_weights_stay_float_and_it_is_said() -> None:
    rows = converting.make(Computed(), Options(), SourceOptions(img_size=8)).conversion.rows
    actions = {row.name: row.action for row in rows}
    assert {name for name, action in actions.items() if action == "binarized"} == {"middle"}
    assert {"base", "a", "b", "other"} <= actions.keys()
    assert all(row.reason for row in rows if row.action == "kept")


def test_converting_nothing_is_an_error_unless_keep_is_why() -> None:
    small = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    )
    for model, keep in ((small, ()), (small, ("3",)), (nn.Sequential(nn.ReLU()), ())):
        with pytest.raises(ModelError, match="no layer that can be binarized"):
            binarize.convert(model, img_size=8, keep=keep)
    assert names(binarize.convert(plain(), img_size=16, keep=["4"])) == set()
    assert names(binarize.convert(small, img_size=8, keep=["*"])) == set()
    assert names(binarize.convert(small, img_size=8, include=["0"])) == {"0"}


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = plain()

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return self.net(image * mask)


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.net = nn.BatchNorm2d(3), plain()

    def forward(self, image: Tensor) -> Tensor:
        return self.net(self.norm(image))


class FSDPModule:
    """What torch's fully_shard makes a base of."""


class Sharded(Normed, FSDPModule):
    pass


class Summed(Normed):
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image).sum()


class Complex(Normed):
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image) * 1j


REFUSED = [
    (Two, r"takes 2 inputs \(image, mask\)"),
    (lambda: nn.Sequential(nn.Conv1d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2)), "a Conv1d"),
    (lambda: nn.Sequential(nn.LazyConv2d(8, 3), nn.Flatten(), nn.LazyLinear(2)), "LazyConv2d"),
    (lambda: torch.jit.trace(plain().eval(), torch.zeros(1, 3, 16, 16)), "ScriptModule"),
    (lambda: nn.Sequential(torch.jit.trace(nn.ReLU(), torch.zeros(1)), plain()), "ScriptModule"),
    (lambda: torch.export.export(plain().eval(), (IMAGES,)), "not ExportedProgram"),
    (
        lambda: exported(nn.Sequential(nn.Dropout(), plain()), training=True),
        "calls dropout as in training",
    ),
    (lambda: exported(Normed(), training=True), "calls batch_norm as in training"),
    (
        lambda: torch.ao.quantization.quantize_dynamic(plain(), {nn.Linear}),
        r"a Linear that torch\.ao",
    ),
    (Sharded, r"is sharded \(FSDP\)"),
    (Summed, "one number for all images"),
    (Complex, "answers with complex numbers"),
]


@pytest.mark.filterwarnings("ignore")  # torch's, of what is deprecated or lazy
@pytest.mark.parametrize(("make", "words"), REFUSED)
def test_a_module_that_takes_no_image_is_refused_by_its_kind(make, words: str, tmp_path) -> None:
    for attempt in (
        lambda: binarize.convert(make(), img_size=16),
        lambda: binarize.export(make(), tmp_path / "x.onnx", input_size=16),
    ):
        with pytest.raises(BinarizeError, match=words) as refusal:
            attempt()
        assert refusal.value.hint
    assert list(tmp_path.iterdir()) == []


class Quantisable(nn.Module):
    """Float, with an addition that can be quantised later, as torchvision.models.quantization has them."""

    def __init__(self) -> None:
        super().__init__()
        self.net = plain()
        self.add = torch.ao.nn.quantized.FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        x = self.net[:4](x)
        return self.net[5:](self.add.add_relu(self.net[4](x), self.net[4](x)))


def test_a_network_that_could_be_quantised_is_float() -> None:
    assert names(binarize.convert(Quantisable(), img_size=16)) == {"net.4"}


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: torch.compile(m, backend="eager")])
def test_a_wrapped_network_is_taken_out(wrap) -> None:
    model = plain()
    with pytest.warns(UserWarning, match="Sequential inside of"):
        converted = binarize.convert(wrap(model), img_size=16)
    assert names(converted) == {"4"}
    assert converted.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    "options", [{}, {"activations": "step"}, {"activations": "sign", "structure": "reactnet"}]
)
def test_a_converted_module_is_pickled_and_saved(options: dict[str, str]) -> None:
    model = binarize.convert("cifar_resnet20", pretrained=False, **options).eval()
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    copies = (
        pickle.loads(pickle.dumps(model)),
        torch.load(file, weights_only=False),
        copy.deepcopy(model),
    )
    with torch.no_grad():
        for other in copies:
            assert [type(m).__name__ for m in other.modules()] == [
                type(m).__name__ for m in model.modules()
            ]
            assert torch.equal(other(IMAGES), model(IMAGES))
            assert names(other) == names(model)
    assert type(copies[2].layer1[0]) is type(model.layer1[0])
