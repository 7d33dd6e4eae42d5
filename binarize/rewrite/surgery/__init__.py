"""Surgery on the blocks around ±1 inputs: edits planned on the float model's trace, made in its tree.

A pass has a `name`, `plan(scene)`, which says what it would do and touches nothing, and `apply(model, edit)`,
which does one of those things in place and returns whether it changed anything: a second application
does not. An edit is kept in the run, so that it can be made again without another trace. Layers keep
their names, and every module that is added is an `AddedModule`: switched off, the model is what it was.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from binarize.errors import ModelError
from binarize.rewrite.capture import Trace
from binarize.rewrite.inventory import Layer
from binarize.rewrite.surgery.block_graph import Unfit, graphs_reused
from binarize.rewrite.surgery.replace_relu import ReplaceRelu
from binarize.rewrite.surgery.scene import Scene, as_edit
from binarize.rewrite.surgery.shortcut import AddShortcut
from binarize.run.edits import Edit

STRUCTURES: dict[str, tuple[ReplaceRelu | AddShortcut, ...]] = {
    "keep": (),
    "bireal": (ReplaceRelu("dropped"), AddShortcut()),
    "reactnet": (ReplaceRelu("rprelu"), AddShortcut()),
}
"""What `--structure` means: passes in their order."""

_PASSES = {one.name: one for passes in STRUCTURES.values() for one in passes}

__all__ = ["STRUCTURES", "apply_edits", "graphs_reused", "plan_edits"]


def plan_edits(
    model: nn.Module,
    trace: Trace,
    layers: list[Layer],
    binary: set[str],
    structure: str,
    skipped: list[tuple[str, str]] | None = None,
) -> list[Edit]:
    """The edits that `structure` asks for, as plain data, in the order in which they are to be made.

    Args:
        model: float, as it was recorded; it is not changed.
        trace: of `model`.
        layers: its layer inventory.
        binary: names of the layers whose input becomes ±1.
        structure: a key of `STRUCTURES`.
        skipped: gets (layer or ReLU, why) for what was wanted and cannot be done.
    """
    scene = Scene(model, trace, layers, binary)
    edits = [as_edit(one.name, edit) for one in STRUCTURES[structure] for edit in one.plan(scene)]
    if skipped is not None:
        skipped += scene.skipped
    return edits


def apply_edits(model: nn.Module, edits: Iterable[Edit]) -> None:
    """Make the edits, in place.

    Raises ModelError where `model` does not have what they are about.
    """
    for edit in edits:
        try:
            _PASSES[edit["pass"]].apply(model, edit)
        except (Unfit, AttributeError) as error:
            raise ModelError(
                f"the surgery planned for this model does not fit it: {error}",
                "its class has changed since: install the library version that run.json names",
            ) from error
