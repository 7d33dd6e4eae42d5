"""Names to libraries: `resnet18`, `timm/resnet18`, `torchvision/resnet18`."""

from __future__ import annotations

import fnmatch
import functools
from dataclasses import dataclass

import timm
from timm.models import PretrainedCfg

from binarize.errors import ModelError, did_you_mean
from binarize.models import cifar
from binarize.models.tasks import TASKS, UNSUPPORTED, names_of

LIBRARIES = ("timm", "torchvision")
NEAR = 0.7
"""How similar a name is that is proposed for another: of a thousand names one is always half as similar."""


@dataclass(frozen=True)
class Listing:
    """One line of `binarize models ls`; `name` is what every command takes."""

    name: str
    library: str
    pretrained: bool
    task: str = "classification"


def parse(name: str) -> tuple[str, str]:
    """`(library, bare name)`; a name without a prefix is timm's if timm has it, else torchvision's.

    A timm name may end in a tag, such as `resnet18.a1_in1k`. Raises ModelError for an unknown name.
    """
    prefix, slash, rest = name.partition("/")
    searched = (prefix,) if slash and prefix in LIBRARIES else LIBRARIES
    bare = rest if slash and prefix in LIBRARIES else name
    for library in searched:
        if _has(library, bare):
            return library, bare
    if ":" in name:
        raise ModelError(
            f'"{name}" is no name of timm or torchvision, which is what files and trainings name models by',
            f"make a run of it, and use that: binarize convert {name}",
        )
    if "torchvision" in searched:
        _refuse_unsupported(bare)
    raise ModelError(f'there is no model "{name}"', _hint(searched, bare, len(searched) == 1))


def is_known(name: str) -> bool:
    """Whether `parse` knows that name."""
    try:
        parse(name)
    except ModelError:
        return False
    return True


def has_pretrained(name: str) -> bool:
    """Whether the library has pretrained weights for that name, at hand or to download."""
    library, bare = parse(name)
    return library == "torchvision" or bool(pretrained_cfg(bare).has_weights)


def pretrained_cfg(bare: str) -> PretrainedCfg:
    """What timm says about the weights of a name that `parse` has found."""
    cfg = timm.models.get_pretrained_cfg(bare)
    assert cfg is not None
    return cfg


def list_models(pattern: str = "") -> list[Listing]:
    """The models whose names match a glob, or hold a word.

    With a word the best match comes first: the whole name, then names that begin with it, shorter ones
    before longer ones. Otherwise the CIFAR networks come first, and what classifies no images comes last.
    """
    own = list(cifar.default_cfgs)
    bare = own + [name for name in _names("timm") if name not in own]
    listings = [Listing(name, "timm", timm.models.is_model_pretrained(name)) for name in bare]
    listings += [
        Listing(f"torchvision/{name}", "torchvision", True, task)
        for task in TASKS
        for name in names_of(task)
    ]
    if not pattern or any(c in pattern for c in "*?["):
        glob = pattern or "*"
        return [listing for listing in listings if fnmatch.fnmatchcase(listing.name, glob)]
    found = [listing for listing in listings if pattern in listing.name]
    return sorted(found, key=lambda listing: _distance(pattern, listing.name))


def _distance(word: str, name: str) -> tuple[bool, bool, int]:
    """What `list_models` sorts by. The library's prefix counts where the word has one."""
    bare = name if "/" in word else name.rpartition("/")[2]
    return bare != word, not bare.startswith(word), len(bare)


@functools.cache
def _names(library: str) -> tuple[str, ...]:
    if library == "timm":
        return tuple(timm.list_models())
    return tuple(name for task in TASKS for name in names_of(task))


def _refuse_unsupported(bare: str) -> None:
    for task in UNSUPPORTED:
        if bare in names_of(task):
            words = task.replace("_", " ")
            raise ModelError(
                f"torchvision/{bare} is one of torchvision's {words} networks, which binarize "
                "does not convert",
                "binarize models ls lists those that it does",
            )


def _has(library: str, bare: str) -> bool:
    if library == "torchvision":
        return bare in _names(library)
    if not timm.is_model(bare) or timm.models.get_pretrained_cfg(bare.partition(".")[0]) is None:
        return False  # unknown, or a name that timm has given up
    return "." not in bare or bare in timm.list_models(f"{bare}*", include_tags=True)


def _hint(searched: tuple[str, ...], bare: str, prefixed: bool) -> str:
    known = [
        f"{library}/{name}" if prefixed else name
        for library in searched
        for name in _names(library)
    ]
    if bare.partition(".")[0] in known and "timm" in searched:
        known = timm.list_models(f"{bare.partition('.')[0]}*", include_tags=True)
    wanted = f"{searched[0]}/{bare}" if prefixed else bare
    return did_you_mean(wanted, known, NEAR) or "binarize models ls lists them all"
