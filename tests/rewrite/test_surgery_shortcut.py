from __future__ import annotations

import pytest
import timm
import torch
from surgery_toys import SIZE, Basic, Chain, Net, apply_once, image, operated, planned, without
from torch import Tensor, nn

from binarize.layers.block import Shortcut
from binarize.rewrite.capture import capture
from binarize.rewrite.inventory import inventory
from binarize.rewrite.surgery import plan_edits


def shortcuts(model: nn.Module) -> dict[str, int]:
    """Layer -> stride of the shortcut planned around it."""
    return {e["layer"]: e["stride"] for e in planned(model) if e["pass"] == "shortcut"}


def test_the_input_is_added_behind_the_norm() -> None:
    model = operated(Net(Chain("function"))).eval()
    block = model.block
    x = model.stem(image())
    assert type(block.conv.shortcut) is Shortcut
    assert torch.equal(block(x), block.bn(block.conv(x)) + x)


def test_in_a_chain_every_convolution_has_one() -> None:
    model = Net(nn.Sequential(Chain(), Chain("function"), Chain()))
    assert shortcuts(model) == {f"block.{i}.conv": 1 for i in range(3)}


def test_a_basic_block_gets_one_and_adds_nothing_twice() -> None:
    model = Net(nn.Sequential(Basic(), Basic()))
    assert shortcuts(model) == {"block.0.conv2": 1, "block.1.conv2": 1}
    block = operated(model).eval().block[0]
    x = torch.randn(1, 8, 6, 6)
    first = block.bn1(block.conv1(x))
    assert torch.equal(block(x), block.bn2(block.conv2(first)) + first + x)


def test_a_pooled_value_in_the_block_s_own_shortcut_counts_as_added() -> None:
    assert shortcuts(Net(Basic(stride=2))) == {"block.conv2": 1}


def test_only_the_last_of_two_branches_adds_what_both_read() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.narrow = nn.ReLU(), nn.Conv2d(8, 8, 1)
            self.wide = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.act(x)
            return self.narrow(x) + self.wide(x)

    assert shortcuts(Net(Branches())) == {"block.wide": 1}


def test_a_weighted_branch_is_still_the_branch() -> None:
    class Excited(Basic):
        def forward(self, x: Tensor) -> Tensor:
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(y * torch.sigmoid(y.mean((2, 3), keepdim=True)) + x)

    assert shortcuts(Net(Excited())) == {"block.conv2": 1}


def test_a_remaining_activation_separates() -> None:
    class Separated(Basic):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.GELU()

    assert shortcuts(Net(Separated())) == {"block.conv1": 1, "block.conv2": 1}


@pytest.mark.parametrize("size", [16, 15])
def test_a_strided_convolution_gets_a_pooled_one(size: int) -> None:
    block = Chain()
    block.conv = nn.Conv2d(8, 8, 3, 2, 1)
    model = Net(block)
    assert shortcuts(model) == {"block.conv": 2}
    assert operated(model)(image((3, size, size))).shape == (2, 5)


@pytest.mark.parametrize(
    "conv",
    [nn.Conv2d(8, 12, 1), nn.Conv2d(8, 12, 3, 2, 1), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 2, 2, 3)],
)
def test_shapes_that_do_not_fit(conv: nn.Conv2d) -> None:
    block = Chain()
    block.conv, block.bn = conv, nn.BatchNorm2d(conv.out_channels)
    model, skipped = Net(block, conv.out_channels), []
    edits = planned(model, skipped=skipped)
    assert not [edit for edit in edits if edit["pass"] == "shortcut"]
    assert skipped == [("block.conv", "its input and output have different channels or sizes")]


def test_linear_layers_and_float_convolutions_have_none() -> None:
    model = Net(
        nn.Sequential(Chain(), nn.Flatten(2), nn.Linear(256, 256), nn.Unflatten(2, (16, 16)))
    )
    trace = capture(model, SIZE)
    assert plan_edits(model, trace, inventory(trace), {"block.2"}, "bireal") == []


def test_a_norm_in_the_child_beside_holds_its_activation_too() -> None:
    conv_norm_act = timm.layers.ConvNormAct(8, 8, 3)
    model = operated(Net(nn.Sequential(conv_norm_act, nn.Conv2d(8, 8, 1)))).eval()
    block = model.block[0]
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(block(x), block.bn(block.conv(x)) + x)
    assert type(block.bn) is timm.layers.BatchNormAct2d


def test_a_norm_of_the_next_unit_is_left_to_it() -> None:
    class Unit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn, self.act, self.conv = nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.act(self.bn(x)))

    model = operated(Net(nn.Sequential(Unit(), Unit()))).eval()
    unit = model.block[0]
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(unit(x), unit.conv(unit.bn(x)) + unit.bn(x))


def test_containers_do_not_get_longer() -> None:
    layers = [nn.ReLU(), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1)]
    model = Net(nn.Sequential(*layers))
    edited = operated(model)
    assert len(edited.block) == len(layers)
    assert [type(edited.block[i]) for i in (1, 2, 4)] == [nn.Conv2d, nn.BatchNorm2d, nn.Conv2d]
    assert [hasattr(edited.block[i], "shortcut") for i in (1, 4)] == [True, True]


def test_blocks_that_take_lists_are_edited_as_they_were_called() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.conv = nn.ReLU(), nn.Conv2d(16, 16, 1)

        def forward(self, x: Tensor | list[Tensor]) -> Tensor:
            x = [x] if isinstance(x, Tensor) else x
            return self.conv(self.act(torch.cat(x, 1)))

    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = Dense(), Dense()

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first([x, x * 2]))

    model = Net(Listed(), 16)
    assert shortcuts(model) == {"block.first.conv": 1, "block.last.conv": 1}
    assert torch.equal(without(operated(model), image()), model(image()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x, self: x if x.shape[2] > 4 else -x, "its block cannot be traced"),
        (lambda x, self: x + int(self.training), "its block computes something else in training"),
        (
            lambda x, self: x + torch.tensor(2.0),
            "its block's forward makes tensors or attributes of its own",
        ),
    ],
)
def test_a_block_that_cannot_be_traced_is_left_alone(change, reason: str) -> None:
    class Odd(Chain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(change(x, self))

    model, skipped = Net(Odd("function")), []
    assert planned(model, skipped=skipped) == []
    assert skipped == [("ReLU in block", reason), ("block.conv", reason)]


def test_a_block_that_runs_twice_is_left_alone() -> None:
    chain, skipped = Chain("function"), []
    assert planned(Net(nn.Sequential(chain, chain)), skipped=skipped) == []
    reasons = {reason for _, reason in skipped}
    assert reasons == {
        "its block is not executed exactly once",
        "its module is not executed exactly once",
    }


def test_a_second_application_changes_nothing() -> None:
    model = Net(nn.Sequential(Basic(), Chain()))
    edits = [edit for edit in planned(model) if edit["pass"] == "shortcut"]
    assert apply_once(model, edits, "bireal") == [True, True]
    after = repr(model), type(model.block[0])
    assert apply_once(model, edits, "bireal") == [False, False]
    assert (repr(model), type(model.block[0])) == after
