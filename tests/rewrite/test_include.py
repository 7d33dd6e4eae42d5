"""What a user includes: `binarize convert --include PATTERN`, `binarize.convert(include=…)`."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import timm
import torch
import torch.nn.functional as F
from rewrite_toys import SIZE, Bypassed, Excited, Standardised, plain
from torch import Tensor, nn

import binarize
from binarize.errors import PatternError
from binarize.layers import binarization_off, binary_weights
from binarize.rewrite import Options, convert, options_of, replay
from binarize.run import ConversionRecord
from binarize.runtime.session import DOMAINS

DEFAULTS = {"stem", "depthwise", "reduce", "expand", "head"}


class Odd(nn.Module):
    """An LSTM, a transposed convolution, a layer that is not executed, and one that is fed by a table."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.up = nn.ConvTranspose2d(8, 8, 2, 2)
        self.lstm = nn.LSTM(8, 8, batch_first=True)
        self.unused = nn.Linear(3, 3)
        self.places = nn.Linear(2, 8)
        self.register_buffer("table", torch.randn(1, 2))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(F.relu(self.stem(x))).flatten(2).transpose(1, 2)
        return self.head((self.lstm(x)[0] + self.places(self.table)).mean(1))


def binarized(model: nn.Module, **options: object) -> set[str]:
    rows = convert(model, Options(stem="keep", **options), SIZE).rows
    assert all((row.action == "kept") == bool(row.reason) for row in rows)
    return {row.name for row in rows if row.action == "binarized"}


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_a_pattern_overrides_each_default_reason(name: str) -> None:
    assert binarized(Excited(), include=(name,)) - binarized(Excited()) == {name}


def test_everything_can_be_forced() -> None:
    model = Excited()
    assert binarized(model, include=("*",)) == DEFAULTS | {"point", "grouped"}
    assert len(list(binary_weights(model))) == 7


def test_a_layer_that_is_fed_by_constants_can_be_forced() -> None:
    assert "places" not in binarized(Odd(), include=("head",))
    assert "places" in binarized(Odd(), include=("places",))


def test_keep_wins_where_both_match() -> None:
    assert binarized(Excited(), keep=("re*",), include=("reduce", "head")) == {
        "head",
        "point",
        "grouped",
    }


@pytest.mark.parametrize(
    ("name", "why"),
    [("lstm", "LSTM"), ("up", "transposed convolution"), ("unused", "not executed")],
)
def test_what_cannot_be_binarized_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(PatternError, match=f'matches only what cannot .* "{name}" .{why}') as error:
        binarized(Odd(), include=("stem", name))
    assert error.value.hint


def test_a_weight_that_its_module_transforms_is_refused() -> None:
    with pytest.raises(PatternError, match="transforms the weight before use"):
        binarized(plain(middle=Standardised(8, 8, 3, 1, 1)), include=("4",))


def test_a_pattern_that_matches_nothing_names_what_there_is() -> None:
    with pytest.raises(PatternError, match='no layer matches include "haed"') as error:
        binarized(Excited(), include=("haed",))
    assert 'did you mean "head"?' in error.value.hint


def test_a_pattern_may_match_more_than_what_can_be_binarized() -> None:
    assert "stem" in binarized(Odd(), include=("*",))


def test_a_run_keeps_what_was_forced_and_older_runs_have_nothing_of_it() -> None:
    model = Excited()
    conversion = convert(model, Options(stem="keep", include=("depth*",)), SIZE).replay
    assert conversion.include == ["depth*"]
    assert options_of(conversion).include == ("depth*",)
    fields = conversion.to_json().items()
    older = {k: v for k, v in fields if k not in ("include", "submodule")}
    older_options = options_of(ConversionRecord.from_data(older))
    assert older_options.include == ()
    assert older_options.submodule is None
    again = replay(Excited(), conversion)
    again.load_state_dict(model.state_dict())
    image = torch.randn(1, *SIZE)
    assert torch.equal(again.eval()(image), model.eval()(image))


def test_switched_off_a_forced_model_is_the_float_model() -> None:
    model = Excited().double().eval()
    image = torch.randn(2, *SIZE, dtype=torch.float64)
    before = model(image)
    convert(model, Options(stem="keep", include=("*",)), SIZE)
    with binarization_off(model):
        torch.testing.assert_close(model(image), before, rtol=1e-10, atol=0)


def test_a_forced_model_exports_packed(tmp_path: Path) -> None:
    """The first layer, the classifier, a depthwise convolution and a gate, through onnxruntime."""
    own = binarize.convert(Excited(), include=["*"], img_size=16)
    result = binarize.export(own, tmp_path / "model.onnx", input_size=16)
    assert result.form == "packed"
    assert result.max_abs_diff <= 1e-4 * result.max_abs_logit
    graph = onnx.load(tmp_path / "model.onnx").graph
    ours = [node for node in graph.node if node.domain in DOMAINS]
    packed = {
        node.name: node.op_type.removesuffix("Relu")
        .removesuffix("Silu")
        .removesuffix("HardSigmoid")
        for node in ours
    }
    convolutions = dict.fromkeys(DEFAULTS - {"head"} | {"point", "grouped"}, "BinaryConv")
    assert packed == {**convolutions, "head": "BinaryLinear"}


class Twice(nn.Module):
    """One module under two names, as coat has it, called by both."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.one = nn.Conv2d(8, 8, 3, 1, 1)
        self.two = self.one
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.two(F.relu(self.one(F.relu(self.stem(x)))))
        return self.head(x.mean((2, 3)))


def test_a_module_under_two_names_is_binarized_once_and_stored_once(tmp_path: Path) -> None:
    model = Twice()
    conversion = convert(model, Options(stem="keep"), SIZE)
    assert [name for name, *_ in binary_weights(model)] == ["one"]
    again = replay(Twice(), conversion.replay)
    assert [name for name, *_ in binary_weights(again)] == ["one"]
    binarize.export(model, tmp_path / "model.onnx", input_size=16)
    graph = onnx.load(tmp_path / "model.onnx").graph
    packed = [node.name for node in graph.node if node.domain in DOMAINS]
    assert packed == ["one", "one@2"]
    assert [one.name for one in graph.initializer if one.name.endswith(".bits")] == ["one.bits"]


def test_two_owners_of_one_parameter_are_no_unexecuted_layer() -> None:
    class Tied(Bypassed):
        def __init__(self) -> None:
            super().__init__()
            self.other = nn.Linear(8, 8)
            self.other.weight = self.proj.weight

    assert [row.name for row in convert(Tied(), Options(), SIZE).rows] == [
        "stem",
        "qkv",
        "proj",
        "head",
    ]


def test_a_downsample_convolution_is_kept_for_binary_inputs_unless_forced() -> None:
    def kept(**options: object) -> dict[str, str]:
        model = timm.create_model("resnet18")
        rows = convert(model, Options(stem="keep", **options), (3, 32, 32), values=False).rows
        return {row.name: row.reason for row in rows if "downsample" in row.reason}

    assert kept() == {}
    names = {f"layer{n}.0.downsample.0" for n in (2, 3, 4)}
    assert kept(activations="step") == dict.fromkeys(names, "downsample convolution")
    assert kept(activations="step", include=("layer?.0.downsample.0",)) == {}


def test_force_is_still_read_as_include_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="include") as caught:
        model = binarize.convert(Excited(), include=["reduce"], force=["depthwise"], img_size=16)
    assert [warning.filename for warning in caught] == [__file__]  # the caller's line is named
    names = {name for name, *_ in binary_weights(model)}
    assert names == {"reduce", "depthwise", "point", "grouped"}
