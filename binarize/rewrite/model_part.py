"""What of a model is captured and compared: all of it, or one part that runs alone.

A detection network cannot be captured whole: how many boxes it finds depends on the values. Its backbone
can. So where only a submodule is to be converted and the whole does not run on an image, the submodule
runs alone, on an image of its own; names stay those of the whole model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, fx, nn

from binarize.errors import ModelError, PatternError, did_you_mean
from binarize.rewrite.capture import Size, Trace, capture, capture_batches


@dataclass(frozen=True)
class ModelPart:
    """A model, the name of the part of it that runs ("" for all), and the size of what that takes."""

    model: nn.Module
    size: Size
    submodule: str = ""

    @property
    def module(self) -> nn.Module:
        return self.model.get_submodule(self.submodule)

    def capture(self) -> Trace:
        """At batch 1."""
        return capture(self.model, self.size, 1, self.submodule)

    def capture_batches(self, batches: Sequence[int]) -> list[Trace]:
        return capture_batches(self.model, self.size, batches, self.submodule)


def find_part(model: nn.Module, size: Size, submodule: str | None) -> ModelPart:
    """The whole model where it runs on an image, else the submodule if one is named.

    Raises PatternError where there is no such submodule.
    """
    whole = ModelPart(model, size)
    if submodule is None:
        return whole
    names = dict(model.named_modules(remove_duplicate=False))
    if submodule not in names or not submodule:
        tops = ", ".join(name for name, _ in model.named_children())
        raise PatternError(
            f'there is no submodule "{submodule}"',
            did_you_mean(submodule, filter(None, names)) or f"this model has {tops}",
        )
    try:
        whole.capture()
    except ModelError:
        channels = input_channels(names[submodule])
        return replace(whole, submodule=submodule, size=(channels, *size[1:]))
    return whole


def input_channels(model: nn.Module) -> int:
    """How many channels the image has that `model` takes: what it says, or its first convolution does."""
    exported = exported_shape(model)
    if exported is not None:
        return exported[1]
    first = first_convolution(model)
    return getattr(model, "in_chans", None) or (first.in_channels if first is not None else 3)


def exported_shape(model: nn.Module) -> tuple[int, ...] | None:
    """Of the image that `torch.export.export(…).module()` was exported with; None for any other module."""
    if not isinstance(model, fx.GraphModule):
        return None
    example = next(iter(model.graph.find_nodes(op="placeholder"))).meta.get("val")
    return tuple(example.shape) if isinstance(example, Tensor) and example.ndim > 3 else None


def first_convolution(model: nn.Module) -> nn.Conv1d | nn.Conv2d | nn.Conv3d | None:
    """The convolution that was defined first: what takes the image, if the model begins with one."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return next((module for module in model.modules() if isinstance(module, kinds)), None)
