"""Surgery on the blocks around ±1 inputs: edits planned on the float model's recording, made in its tree.

A pass has a `name`, `plan(scene)`, which says what it would do and touches nothing, and `apply(model, edit)`,
which does one of those things in place and returns whether it changed anything: a second application
does not. An edit is kept in the run, so that it can be made again without recording. Layers keep
their names, and every module that is added is an `Addition`: switched off, the model is what it was.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from binarize.errors import ModelError
from binarize.rewrite.census import Layer
from binarize.rewrite.record import Recording
from binarize.rewrite.surgery.replace_relu import ReplaceRelu
from binarize.rewrite.surgery.scene import Scene, as_edit
from binarize.rewrite.surgery.shortcut import AddShortcut
from binarize.rewrite.surgery.trace import Unfit, traced_once
from binarize.run.records import Edit

STRUCTURES: dict[str, tuple[ReplaceRelu | AddShortcut, ...]] = {
    "keep": (),
    "bireal": (ReplaceRelu("dropped"), AddShortcut()),
    "reactnet": (ReplaceRelu("rprelu"), AddShortcut()),
}
"""What `--structure` means: passes in their order."""

_PASSES = {one.name: one for passes in STRUCTURES.values() for one in passes}

__all__ = ["STRUCTURES", "apply_edits", "plan_edits", "traced_once"]


def plan_edits(
    model: nn.Module,
    recording: Recording,
    layers: list[Layer],
    binary: set[str],
    structure: str,
    skipped: list[tuple[str, str]] | None = None,
) -> list[Edit]:
    """The edits that `structure` asks for, as plain data, in the order in which they are to be made.

    Args:
        model: float, as it was recorded; it is not changed.
        recording: of `model`.
        layers: its census.
        binary: names of the layers whose input becomes ±1.
        structure: a key of `STRUCTURES`.
        skipped: gets (layer or ReLU, why) for what was wanted and cannot be done.
    """
    scene = Scene(model, recording, layers, binary)
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
