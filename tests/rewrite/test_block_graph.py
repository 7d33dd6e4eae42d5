from __future__ import annotations

import copy
import traceback
from collections.abc import Callable

import pytest
import torch
from surgery_toys import SIZE, Basic, Chain, Net, image, operated, planned
from torch import Tensor, nn

from binarize.errors import ModelError
from binarize.rewrite.capture import capture
from binarize.rewrite.surgery import apply_edits


def test_a_recording_knows_its_calls() -> None:
    calls = capture(Net(Basic()), SIZE).calls
    block = next(call for call in calls if call.name == "block")
    children = [call.name for call in calls if call.caller is block]
    assert children == [f"block.{n}" for n in ("conv1", "bn1", "relu", "conv2", "bn2", "relu")]
    first = next(call for call in calls if call.name == "block.conv1")
    assert first.arguments == block.arguments
    assert next(call for call in calls if call.name == "block.bn1").arguments == (first.output,)


def test_an_edited_block_is_still_its_class() -> None:
    block = operated(Net(Basic())).block
    assert isinstance(block, Basic)
    assert (type(block).__name__, type(block).__module__) == ("Basic", Basic.__module__)
    assert type(block) is not Basic
    assert block.pool is None


def test_hooks_on_an_edited_block_run() -> None:
    model, seen = Net(Basic()), []
    model.block.register_forward_hook(lambda *_: seen.append(1))
    edited = operated(model)
    seen.clear()
    edited(image())
    assert seen == [1]


def test_a_replaced_child_is_what_the_edited_block_calls() -> None:
    model = operated(Net(Chain("function"))).eval()
    other = copy.deepcopy(model)
    other.block.conv = nn.Identity()
    x = torch.randn(1, 8, 4, 4)
    with pytest.raises(AttributeError, match="shortcut"):
        other.block(x)
    other.block.conv.shortcut = model.block.conv.shortcut
    assert torch.equal(other.block(x), other.block.bn(x) + x)


def test_an_error_inside_shows_the_line_that_was_generated() -> None:
    model = operated(Net(Chain("function")))
    with pytest.raises(RuntimeError) as error:
        model.block(torch.zeros(1, 3, 4, 4))
    lines = [frame.line for frame in traceback.extract_tb(error.value.__traceback__)]
    assert any("self.conv(relu_0)" in line for line in lines)


class Masked(Chain):
    """A block with an optional argument that changes what it does."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x if mask is None else x * mask)


def test_arguments_that_were_not_given_keep_their_defaults() -> None:
    model = operated(Net(Masked("function"))).eval()
    assert torch.isfinite(model(image())).all()
    with pytest.raises(TypeError):
        model.block(torch.zeros(1, 8, 4, 4), torch.zeros(4, 4))


def reason(model: nn.Module) -> str:
    skipped: list[tuple[str, str]] = []
    assert planned(model, skipped=skipped) == []
    reasons = {why for _, why in skipped}
    assert len(reasons) == 1
    return reasons.pop()


def patched(model: Net) -> None:
    """Its forward is an attribute of the object, as monkeypatching leaves it."""
    model.block.forward = model.block.forward


def flagged(model: Net) -> None:
    class Flagged(Chain):
        def forward(self, x: Tensor, double: bool = False) -> Tensor:
            return super().forward(x)

    class Flagging(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Flagged("function")

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x, double=True)

    model.block = Flagging()


def variadic(model: Net) -> None:
    class Variadic(Chain):
        def forward(self, *xs: Tensor) -> Tensor:
            return super().forward(xs[0])

    model.block = Variadic("function")


def branching(model: Net) -> None:
    class Branching(Chain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if isinstance(x.shape, torch.Size) else self.bn(x.relu())

    model.block = Branching("function")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (patched, "its block's forward was replaced on the object"),
        (flagged, "its block is given something else than tensors"),
        (variadic, "its block takes arguments without a fixed place"),
        (branching, "its block's graph differs from its execution"),
    ],
)
def test_blocks_whose_trace_would_be_wrong_are_refused(
    change: Callable[[Net], None], expected: str
) -> None:
    model = Net(Chain("function"))
    change(model)
    assert reason(model) == expected


def test_a_model_with_other_ways_in_is_no_block() -> None:
    class Features(Chain):
        def forward_features(self, x: Tensor) -> Tensor:
            return self.bn(self.conv(x))

    assert reason(Net(Features("function"))) == "it stands in no block of its own"


@pytest.mark.parametrize("block", [Chain("function"), nn.Sequential(Chain()), nn.Identity()])
def test_edits_for_another_model_are_an_error(block: nn.Module) -> None:
    edits = planned(Net(Basic()))
    with pytest.raises(ModelError, match="does not fit it") as error:
        apply_edits(Net(block), edits)
    assert error.value.hint
