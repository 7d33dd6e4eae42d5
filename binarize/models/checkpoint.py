"""Weights from a checkpoint that somebody has, into a network.

file -> its states -> one of them          checkpoint_file
names without those of wrappers            DataParallel, torch.compile, a class around the network
names of the architecture                  timm's own filters, and the CIFAR ResNets of the literature
counters                                   what batch norms and profilers count may be missing or too many
every tensor, its shape and its type       run.weights
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from binarize.errors import CheckpointError, ModelError
from binarize.models.checkpoint_file import State, read
from binarize.models.cifar import CifarResNet, CifarStemResNet, OptionAShortcut
from binarize.models.classifier import last_layer
from binarize.run.weights import fill, shown

WRAPPERS = ("module", "_orig_mod", "model")
"""What DataParallel, torch.compile and classes around a network put before the names of its weights."""
TRACKED = "num_batches_tracked"
COUNTERS = frozenset({TRACKED, "n_averaged", "total_ops", "total_params", "num_updates", "decay"})
FILTERS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")
"""What timm calls the functions that make its own names of those in published checkpoints."""
SHOWN = 3


class OtherClasses(CheckpointError):
    """A checkpoint that is of other classes alone: of so many."""

    def __init__(self, message: str, hint: str, classes: int) -> None:
        super().__init__(message, hint)
        self.classes = classes


@dataclass(frozen=True)
class Loaded:
    """What was loaded: whether averaged weights were, and sentences for the user."""

    ema: bool
    notes: tuple[str, ...]


def load_checkpoint(model: nn.Module, file: str | Path, ema: bool | None = None) -> Loaded:
    """Load a checkpoint into `model`, in place. `ema`: see `checkpoint_file.read`.

    Raises CheckpointError for a file that is missing, corrupt or no checkpoint, or of another network, and
    for weights that are no floating-point numbers or not finite.
    """
    found = read(Path(file), ema)
    notes = [found.note] if found.note else []
    return Loaded(found.ema, (*notes, *load_tensors(model, found.state, str(file))))


def load_tensors(model: nn.Module, tensors: State, file: str) -> list[str]:
    """The same of tensors that are read already, from `file`. Returns sentences for the user."""
    own = model.state_dict()
    notes: list[str] = []
    state, outside = _unwrapped(tensors, own)
    said: list[str] = []
    if _misfits(state, own):
        for other, words in _renamings(model, state):
            if _misfits(other, own) < _misfits(state, own):
                state, said = other, words
    elif _pads_in_the_centre(model):
        said = [
            "the file does not say how its shortcuts are padded: half before and half behind the channels is "
            "taken; --model-arg shortcut=end pads behind"
        ]
    notes += said
    unused = [key for key in state if key not in own and _is_counter(key, state[key])]
    counted = {key: value for key, value in own.items() if key.rpartition(".")[2] == TRACKED}
    if own.keys() <= state.keys() | counted.keys():
        unused += [key for key in outside if key in state and key not in unused]
    if unused:
        more = f" and {len(unused) - SHOWN} more" if len(unused) > SHOWN else ""
        notes.append(f"not of the network: {', '.join(map(shown, unused[:SHOWN]))}{more}")
    state = {key: value for key, value in state.items() if key not in unused}
    state = {**counted, **state}
    _check_classes(model, state, own, file)
    fill(model, state, file)
    return notes


def _unwrapped(state: State, own: Mapping[str, Tensor]) -> tuple[State, list[str]]:
    """`state` under the names without wrappers, and of these names those that nothing was wrapped around
    although something was around others: they stand beside the network."""
    names = {key: _without_wrappers(key, own) for key in state}
    heads = {
        name.partition(".")[0] for key, name in names.items() if not _is_counter(key, state[key])
    }
    if len(heads) == 1 and not heads & {name.partition(".")[0] for name in own}:
        prefix = f"{heads.pop()}."  # of one class around the network, whatever its name
        names = {key: name.removeprefix(prefix) for key, name in names.items()}
    if len(set(names.values())) < len(names):
        return state, []  # two names that differ in the wrappers alone: they mean something
    bare = [key for key, name in names.items() if key == name]
    outside = bare if all(name != key for key, name in names.items() if name in own) else []
    return {name: state[key] for key, name in names.items()}, outside


def _without_wrappers(key: str, own: Collection[str]) -> str:
    """A name without the wrappers around the whole network, and inside of it."""
    name = key
    while name not in own:
        head, _, rest = name.partition(".")
        if head not in WRAPPERS or not rest:
            break
        name = rest
    if name in own:
        return name
    inner = ".".join(part for part in name.split(".") if part not in WRAPPERS)
    return inner if inner in own else name


def _misfits(state: State, own: Mapping[str, Tensor]) -> int:
    """How many tensors of either have no counterpart of their shape; counters do not count."""
    wanted = {key for key, value in own.items() if not _is_counter(key, value)}
    given = {key for key, value in state.items() if not _is_counter(key, value)}
    shapes = sum(own[key].shape != state[key].shape for key in wanted & given)
    return len(wanted ^ given) + shapes


def _is_counter(key: str, value: Tensor) -> bool:
    """Whether it counts something: a whole number, or what profilers and averages write under such a name."""
    if value.layout != torch.strided or value.numel() != 1:
        return False
    whole = not (value.is_floating_point() or value.is_complex())
    return whole or key.rpartition(".")[2] in COUNTERS


def _renamings(model: nn.Module, state: State) -> Iterator[tuple[State, list[str]]]:
    """`state` under the names of the architecture, and what to say of that."""
    if type(model).__module__.startswith("timm."):
        yield _by_timm(model, state), []
    if isinstance(model, (CifarResNet, CifarStemResNet)):
        yield _of_cifar(model, state)


def _by_timm(model: nn.Module, state: State) -> State:
    """`state` as timm's own filter of the architecture has it; as it was where that cannot read it."""
    module = sys.modules[type(model).__module__]
    filters: list[Callable[..., Any]] = [
        getattr(module, name) for name in FILTERS if hasattr(module, name)
    ]
    for function in filters:
        for arguments in ((dict(state), model), (dict(state),)):
            try:
                made = function(*arguments)
            except Exception:  # whatever it makes of names that it does not expect
                continue
            if isinstance(made, Mapping) and all(isinstance(v, Tensor) for v in made.values()):
                return dict(made)
    return state


def _of_cifar(model: nn.Module, state: State) -> tuple[State, list[str]]:
    """The names of the literature's public code, which pads shortcuts in the centre: its classifier is
    `linear`, its shortcuts with weights are `shortcut`."""
    renamed = {
        key.replace(".shortcut.", ".downsample.").replace("linear.", "fc."): value
        for key, value in state.items()
    }
    said = "its classifier is called linear: shortcut is centre, as in the code that calls it so"
    return renamed, [said] if _pads_in_the_centre(model) else []


def _pads_in_the_centre(model: nn.Module) -> bool:
    return any(isinstance(m, OptionAShortcut) and m.before for m in model.modules())


def _check_classes(model: nn.Module, state: State, own: Mapping[str, Tensor], file: str) -> None:
    """Raises CheckpointError where the file differs in the number of classes alone."""
    differing = {key for key in own if key in state and own[key].shape != state[key].shape}
    if not differing or own.keys() ^ state.keys():
        return
    try:
        name, _ = last_layer(model)
    except ModelError:
        return
    if differing <= {f"{name}.weight", f"{name}.bias"} and f"{name}.weight" in differing:
        found, wanted = len(state[f"{name}.weight"]), len(own[f"{name}.weight"])
        raise OtherClasses(
            f'"{file}" has {found} classes ("{name}"), and the model {wanted}',
            f"--num-classes {found}, or model.num_classes of a recipe",
            found,
        )
