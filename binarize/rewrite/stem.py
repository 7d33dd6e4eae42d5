"""A stem for small images: 3x3, stride 1, no pooling.

ImageNet networks begin by shrinking the image four times (7x7 stride 2, then pooling). At 32x32 that
leaves nothing to look at, so the literature's CIFAR networks replace the first convolution by a 3x3 one of
stride 1 and drop the pooling after it. The new convolution starts from random weights, so weights that may
have been trained are never replaced unless the user asks for it: `auto` does it for a library's name that was
asked for without pretrained weights, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from binarize.errors import ModelError
from binarize.rewrite.capture import Trace
from binarize.rewrite.inventory import Layer
from binarize.run import Stem

SMALL = 64
"""Up to this image width in pixels, `--stem auto` gives the small stem to networks whose random weights were
asked for."""

POOLS = (nn.MaxPool2d, nn.AvgPool2d)


def plan_stem(
    model: nn.Module,
    trace: Trace,
    layers: list[Layer],
    option: str,
    img_size: int,
    random_weights: bool,
) -> Stem | None:
    """The replacement that `option` (auto, keep, cifar) asks for, or None to leave the stem alone.

    `auto` asks for one where the images are small and random weights were asked for. Raises ModelError where
    `cifar` is asked for and the model does not start with a convolution.
    """
    if option == "keep" or (option == "auto" and not (random_weights and img_size <= SMALL)):
        return None
    stem = _find(model, trace, layers)
    if stem is None and option == "cifar":
        raise ModelError(
            "this model has no convolutional stem to replace",
            "omit --stem: its first layer cuts the image into patches or is no convolution",
        )
    return stem if stem is not None and _shrinks(model, stem) else None


def shrinking_stem(model: nn.Module, trace: Trace, layers: list[Layer]) -> Stem | None:
    """The stem of `model` if it is one that shrinks the image, else None."""
    stem = _find(model, trace, layers)
    return stem if stem is not None and _shrinks(model, stem) else None


def apply_stem(model: nn.Module, stem: Stem) -> Callable[[], None]:
    """Put the 3x3 convolution in place and an identity where the pooling was; returns what undoes that."""
    old = model.get_submodule(stem.conv)
    if not isinstance(old, nn.Conv2d):
        raise TypeError(f'"{stem.conv}" is no 2-d convolution')
    new = nn.Conv2d(
        old.in_channels,
        old.out_channels,
        3,
        1,
        1,
        bias=old.bias is not None,
        dtype=old.weight.dtype,
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    replaced: list[tuple[nn.Module, nn.Module]] = [(old, new.to(old.weight.device))]
    if stem.pool is not None:
        replaced.append((model.get_submodule(stem.pool), nn.Identity()))
    for before, after in replaced:
        _replace(model, before, after)

    def undo() -> None:
        for before, after in replaced:
            _replace(model, after, before)

    return undo


def _find(model: nn.Module, trace: Trace, layers: list[Layer]) -> Stem | None:
    """The first convolution, if it is no patch embedding (kernel = stride), and its pooling."""
    first = next((layer for layer in layers if layer.fed_by == "input"), None)
    if first is None or first.kind != "conv2d" or len(first.nodes) > 1:
        return None
    module = model.get_submodule(first.name)
    if not isinstance(module, nn.Conv2d):
        return None
    if module.kernel_size == module.stride and module.stride[0] > 1:  # patches
        return None
    return Stem(conv=first.name, pool=_pool_after(model, trace, layers, first))


def _shrinks(model: nn.Module, stem: Stem) -> bool:
    conv = model.get_submodule(stem.conv)
    return stem.pool is not None or (isinstance(conv, nn.Conv2d) and conv.stride[0] > 1)


def _pool_after(model: nn.Module, trace: Trace, layers: list[Layer], first: Layer) -> str | None:
    """The pooling module that runs between the first layer and the next one, if there is one and it runs
    nowhere else."""
    executed = {node for layer in layers for node in layer.nodes}
    after = False
    for node in trace.graph.nodes:
        if node in first.nodes:
            after = True
        elif after and node in executed:
            return None
        elif after and "module" in node.meta:
            name = node.meta["module"]
            if isinstance(model.get_submodule(name), POOLS):
                alone = sum(call.name == name for call in trace.calls) == 1
                return name if alone else None
    return None


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Under all names that it has."""
    for parent in list(model.modules()):
        for child, module in list(parent._modules.items()):
            if module is old:
                setattr(parent, child, new)
