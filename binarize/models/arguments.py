"""Which arguments a library's constructor may be given by a run, a recipe or an ONNX file.

Such a file is somebody else's word, and a builder of timm or torchvision does more than to build: it opens
checkpoints, downloads and looks up what its arguments name. So a file may set

1. the parameters of the model class's own constructor (`layers`, `embed_dim`, `act_layer`, …), and
2. the few arguments of builders in `BUILDER_ARGUMENTS`,

with JSON values. Everything else is refused by name, and so is what sounds like weights in any class.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn

from binarize.errors import ModelError, did_you_mean

BUILDER_ARGUMENTS = frozenset(
    {
        *("num_classes", "in_chans", "img_size", "global_pool"),
        *("drop_rate", "drop_path_rate", "drop_block_rate", "output_stride"),  # timm
        *("image_size", "input_size", "aux_logits", "aux_loss", "transform_input"),  # torchvision
        *("trainable_backbone_layers", "num_keypoints"),
        *("width_mult", "reduced_tail", "dilated"),  # torchvision's MobileNetV3
        "shortcut",  # the CIFAR ResNets
    }
)
REFUSED = (
    *("checkpoint", "pretrained", "weights", "cache", "url", "hf_", "file", "path", "hub"),
    *("device", "dtype"),
)
"""What an argument must not begin with: weights come by `pretrained` and `checkpoint` of a command alone."""
LARGEST = 1 << 16
"""Of a whole number in an argument: more channels, classes or pixels than any network has."""


class RefusedArgument(ModelError):
    """An argument that no file may bring: never passed over, as another kind of model that cannot be built
    may be."""


def check_arguments(name: str, kwargs: Mapping[str, Any], model_class: Callable[[], type]) -> None:
    """Raises RefusedArgument for an argument that the model called `name` may not be given.

    `model_class` gives the class that the name makes; it is asked where rule 2 does not decide.
    """
    for argument, value in kwargs.items():
        if not _is_allowed(argument, model_class):
            known = sorted(BUILDER_ARGUMENTS | parameters(model_class()))
            near = "" if argument.startswith(REFUSED) else did_you_mean(argument, known)
            raise RefusedArgument(
                f'model.kwargs.{argument} is not an argument that "{name}" may be given',
                near or "weights come with --checkpoint or --pretrained alone",
            )
        if any(abs(number) > LARGEST for number in _numbers(value)):
            raise RefusedArgument(
                f'model.kwargs.{argument} of "{name}" has a number that no network has',
                f"whole numbers are at most {LARGEST}",
            )


def _is_allowed(argument: str, model_class: Callable[[], type]) -> bool:
    if argument.startswith(REFUSED):
        return False
    return argument in BUILDER_ARGUMENTS or argument in parameters(model_class())


@functools.cache
def parameters(cls: type[nn.Module]) -> frozenset[str]:
    """The parameters of a class's constructor, and of its bases as far as keywords are handed on."""
    found: set[str] = set()
    for base in cls.__mro__:
        if base in (nn.Module, object):
            break
        if "__init__" not in vars(base):
            continue
        own = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        found |= {one.name for one in own if one.kind in named}
        if all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in own):
            break
    return frozenset(found)


def _numbers(value: Any) -> Iterable[int]:
    """All whole numbers in a JSON value."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _numbers(item)
