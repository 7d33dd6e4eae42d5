from __future__ import annotations

import pytest
import timm
import torch
from surgery_toys import SIZE, Basic, Chain, Net, apply_once, image, operated, planned, without
from torch import Tensor, nn
from torch.nn import functional as F

from binarize.layers.block import Dropped, RPReLU
from binarize.rewrite.capture import capture
from binarize.rewrite.inventory import inventory
from binarize.rewrite.surgery import apply_edits, plan_edits

FORMS = {"bireal": Dropped, "reactnet": RPReLU}


def relu_edits(model: nn.Module, structure: str = "bireal") -> list[dict]:
    return [e for e in planned(model, structure) if e["pass"] == "replace_relu"]


@pytest.mark.parametrize("structure", FORMS)
def test_a_relu_module_makes_way_under_its_name(structure: str) -> None:
    model = operated(Net(Chain()), structure)
    assert type(model.block.act) is FORMS[structure]
    assert dict(model.named_modules()).keys() >= dict(Net(Chain()).named_modules()).keys()


@pytest.mark.parametrize("structure", FORMS)
@pytest.mark.parametrize("kind", ["function", "method"])
def test_a_relu_that_is_a_function_becomes_a_child(kind: str, structure: str) -> None:
    model = Net(Chain(kind))
    edited = operated(model, structure)
    assert type(edited.block.relu_0) is FORMS[structure]
    assert isinstance(edited.block, Chain)
    assert type(edited.block).__name__ == "Chain"


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("kind", ["module", "function"])
def test_the_convolution_sees_what_was_below_zero(kind: str, inplace: bool) -> None:
    model = operated(Net(Chain(kind, inplace)))
    seen = []
    model.block.conv.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(image())
    without(model, image())
    assert seen[0].min() < 0
    assert seen[1].min() == 0


def test_every_call_of_one_relu_is_edited_by_itself() -> None:
    model = Net(nn.Sequential(Basic(), Basic()))
    edits = relu_edits(model, "reactnet")
    places = [(e["block"]["module"], e["target"], e["ordinal"]) for e in edits]
    assert places == [("block.0", "relu", 0), ("block.0", "relu", 1), ("block.1", "relu", 0)]
    apply_edits(model, edits)
    assert isinstance(model.block[0].relu, nn.ReLU)
    assert {"relu_0", "relu_1"} <= set(model.block[0]._modules)
    assert "relu_1" not in model.block[1]._modules  # it feeds the classifier alone
    assert model.block[0].relu_0 is not model.block[0].relu_1


def test_relus_behind_pooling_and_in_concatenations_are_found() -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.after = nn.ReLU(), nn.ReLU(), nn.Conv2d(16, 8, 1)
            self.pool = nn.MaxPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.after(self.pool(torch.cat([self.left(x), self.right(-x)], 1)))

    names = [edit["module"] for edit in relu_edits(Net(Joined()))]
    assert names == ["block.left", "block.right"]


def test_a_concatenation_with_anything_else_stays() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.after = nn.ReLU(), nn.Conv2d(16, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.after(torch.cat([self.act(x), x * 2], 1))

    assert relu_edits(Net(Mixed())) == []


@pytest.mark.parametrize("act", [nn.ReLU6(), nn.LeakyReLU(), nn.Hardswish(), nn.GELU()])
def test_other_activations_stay(act: nn.Module) -> None:
    block = Chain()
    block.act = act
    model = operated(Net(block))
    assert type(model.block.act) is type(act)


def test_a_relu_before_a_pooling_of_the_whole_image_stays() -> None:
    class Gate(Chain):
        def forward(self, x: Tensor) -> Tensor:
            return self.conv(F.adaptive_avg_pool2d(self.act(x), 1))

    assert relu_edits(Net(Gate())) == []


def test_a_relu_that_feeds_no_binary_layer_stays() -> None:
    model = Net(Chain())
    trace = capture(model, SIZE)
    assert plan_edits(model, trace, inventory(trace), set(), "bireal") == []


def test_planning_leaves_the_model_alone() -> None:
    model = Net(Basic()).train()
    before = repr(model), type(model.block), list(model.state_dict())
    planned(model, "reactnet")
    assert (repr(model), type(model.block), list(model.state_dict())) == before
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("block", [Chain(), Chain("function"), Basic()])
@pytest.mark.parametrize("structure", FORMS)
def test_a_second_application_changes_nothing(block: nn.Module, structure: str) -> None:
    model = Net(nn.Sequential(block, nn.Conv2d(8, 8, 1)))
    edits = planned(model, structure)
    assert all(apply_once(model, edits, structure))
    after = repr(model), type(model.block[0]), list(model.state_dict())
    assert not any(apply_once(model, edits, structure))
    assert (repr(model), type(model.block[0]), list(model.state_dict())) == after


def test_rprelu_has_the_channels_where_the_layer_sums() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.act, self.down = nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.down(self.act(self.up(x.flatten(2).transpose(1, 2))))
            return tokens.transpose(1, 2).unflatten(2, x.shape[2:])

    model = operated(Net(Tokens()), "reactnet")
    assert (model.block.act.axis, len(model.block.act.slope)) == (-1, 12)
    model = operated(Net(Chain()), "reactnet")
    assert (model.block.act.axis, len(model.block.act.slope)) == (1, 8)


def test_the_relu_inside_a_norm_is_one_like_others() -> None:
    model = Net(nn.Sequential(timm.layers.BatchNormAct2d(8), nn.Conv2d(8, 8, 1)))
    edited = operated(model)
    assert type(edited.block[0].act) is Dropped
    assert type(edited.block[0]) is timm.layers.BatchNormAct2d


def test_a_relu_registered_twice_makes_way_twice() -> None:
    block = Chain()
    block.alias = block.act
    model = operated(Net(block))
    assert model.block.alias is model.block.act


def test_half_precision_models_get_half_precision_parameters() -> None:
    assert operated(Net(Chain()).double(), "reactnet").block.act.slope.dtype == torch.float64
