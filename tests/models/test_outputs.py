"""The logits in whatever a network answers with."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
import torch
from torch import Tensor, nn

import binarize
from binarize.errors import ModelError
from binarize.models import logits_of, tensors_in
from binarize.training.objective import Objective


@dataclass
class Answer:
    loss: Tensor | None
    features: Tensor
    logits: Tensor


@dataclass
class Mapped(OrderedDict):
    """A dataclass that is a mapping of its fields, as transformers has them."""

    features: Tensor
    logits: Tensor

    def __post_init__(self) -> None:
        self.update(features=self.features, logits=self.logits)


Named = namedtuple("Named", "features logits")

KINDS = {
    "tensor": lambda features, logits: logits,
    "tuple": lambda features, logits: (logits, features),
    "list": lambda features, logits: [None, logits, features],
    "nested": lambda features, logits: ((logits, [features]), {"again": features}),
    "dict": lambda features, logits: {"features": features, "logits": logits},
    "other keys": lambda features, logits: {"out": logits, "aux": features},
    "named tuple": Named,
    "dataclass": lambda features, logits: Answer(None, features, logits),
    "mapping": Mapped,
    "inside": lambda features, logits: {"aux": None, "out": Answer(None, features, logits)},
}
CONTAINERS = [name for name in KINDS if name != "tensor"]


class Net(nn.Module):
    """Logits, and features from a layer that is executed after the one that makes them."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.stem, self.conv = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.head, self.aux = nn.Linear(16, 5), nn.Linear(16, 7)

    def forward(self, x: Tensor):
        x = torch.relu(self.conv(torch.relu(self.stem(x)))).mean((2, 3))
        logits = self.head(x)
        return KINDS[self.kind](self.aux(x), logits)


def converted(kind: str, **options) -> nn.Module:
    torch.manual_seed(0)
    return binarize.convert(Net(kind).eval(), img_size=8, stem="keep", **options)


@pytest.mark.parametrize("kind", KINDS)
def test_the_logits_come_first(kind: str) -> None:
    features, logits = torch.zeros(2, 7), torch.zeros(2, 5)
    output = KINDS[kind](features, logits)
    assert logits_of(output) is logits
    found = list(tensors_in(output))
    assert found[0] is logits
    assert all(one is features for one in found[1:])


@pytest.mark.parametrize("output", [None, (), {"logits": None}, [1.0, "x"], SimpleNamespace()])
def test_no_tensor_is_an_error(output) -> None:
    with pytest.raises(ModelError, match="holds no tensor") as error:
        logits_of(output)
    assert error.value.hint


@pytest.mark.parametrize("kind", CONTAINERS)
def test_it_converts_as_the_network_that_answers_with_a_tensor(kind: str) -> None:
    image = torch.randn(2, 3, 8, 8)
    plain, model = converted("tensor"), converted(kind)
    names = [name for name, *_ in binarize.layers.binary_weights(model)]
    assert "conv" in names
    assert "head" not in names  # whatever else is computed after it
    assert torch.equal(logits_of(model(image)), plain(image))


@pytest.mark.parametrize("kind", ["list", "nested", "dict", "dataclass", "mapping", "inside"])
def test_it_exports_with_the_logits_as_first_output(tmp_path: Path, kind: str) -> None:
    result = binarize.export(converted(kind), tmp_path / "m.onnx")
    assert result.parity == "exact"
    outputs = onnx.load(tmp_path / "m.onnx").graph.output
    assert outputs[0].name == "logits"
    assert outputs[0].type.tensor_type.shape.dim[1].dim_value == 5
    assert len(outputs) > 1


@pytest.mark.parametrize("kind", CONTAINERS)
def test_it_trains(kind: str) -> None:
    model = converted(kind).train()
    loss, right = Objective(model)(torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 3]))
    loss.backward()
    assert 0 <= int(right) <= 4
    assert model.conv._parameters["weight"].grad.abs().sum() > 0


class Shaped(Net):
    def __init__(self, shape: Callable[[Tensor], Tensor]) -> None:
        super().__init__("tensor")
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return self.shape(self.head(torch.relu(self.conv(torch.relu(self.stem(x)))).mean((2, 3))))


@pytest.mark.parametrize("shape", [lambda logits: logits[:, 0], lambda logits: logits.argmax(1)])
def test_one_number_for_each_image_exports(tmp_path: Path, shape) -> None:
    model = binarize.convert(Shaped(shape).eval(), img_size=8, stem="keep")
    assert binarize.export(model, tmp_path / "m.onnx").parity == "exact"


class Nothing(Net):
    def forward(self, x: Tensor) -> tuple[()]:
        super().forward(x)
        return ()


def test_an_empty_tuple_is_no_answer() -> None:
    with pytest.raises(ModelError, match="holds no tensor"):
        binarize.convert(Nothing("tensor"), img_size=8)


class Silent(Net):
    def forward(self, x: Tensor) -> dict[str, str]:
        super().forward(x)
        return {"logits": "none"}


def test_a_network_without_an_answer_says_so() -> None:
    with pytest.raises(ModelError, match="holds no tensor"):
        binarize.convert(Silent("tensor"), img_size=8)
