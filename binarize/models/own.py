"""Networks of the user's own code: `FILE.py:NAME`, a function, class or module in a file.

Code is imported where the user names it and nowhere else: `binarize convert nets.py:make_net`, and for a run
that came from it `--code nets.py:make_net`, or `with binarize.own_code(make_net):`. What a run says of where
its network came from is shown, never opened.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from binarize.errors import ModelError, did_you_mean
from binarize.models.arguments import REFUSED, RefusedArgument
from binarize.models.classifier import num_classes, reset_classifier
from binarize.run import ModelSpec

Maker = Callable[..., nn.Module]
Code = str | Maker | nn.Module
"""`FILE.py:NAME`, or what stands there."""

_PLACE = re.compile(r"(?P<file>.+\.py):(?P<name>[A-Za-z_]\w*)")
_named: list[Code] = []
"""What the user has named for the runs of his own code, the last one last."""


def is_own_code(target: str) -> bool:
    """Whether `target` is `FILE.py:NAME`."""
    return _PLACE.fullmatch(target) is not None


@contextlib.contextmanager
def own_code(code: Code | None) -> Iterator[None]:
    """In this block, runs that hold a module of the caller's own code are built by `code`: `FILE.py:NAME`, a
    function or class that makes the module, or the module itself. None changes nothing."""
    if code is None:
        yield
        return
    if isinstance(code, str) and not is_own_code(code):
        raise ModelError(f'"{code}" does not name code', "name it as FILE.py:NAME")
    _named.append(code)
    try:
        yield
    finally:
        _named.pop()


def rebuild(spec: ModelSpec) -> nn.Module | None:
    """The module of a run's description, by the code that the user named; None where none is named.

    Raises ModelError where that makes a module of another class.
    """
    if not _named:
        return None
    kwargs = dict(spec.kwargs)
    classes = kwargs.pop("num_classes", None)
    if classes is not None and _takes(_named[-1], "num_classes"):
        kwargs["num_classes"], classes = classes, None
    model = make(_named[-1], kwargs)
    if type(model).__name__ != spec.name:
        raise ModelError(
            f"{_words(_named[-1])} makes a {type(model).__name__}, and the run holds a {spec.name}",
            "name the code that the run was converted from",
        )
    if isinstance(classes, int) and classes != num_classes(model):
        reset_classifier(model, classes)
    return model


def make(code: Code, kwargs: Mapping[str, Any]) -> nn.Module:
    """The module that `code` makes with these arguments. Raises ModelError for whatever goes wrong in it."""
    for argument in kwargs:
        if argument.startswith(REFUSED):
            raise RefusedArgument(
                f"{argument} is not an argument that a run may keep of {_words(code)}",
                "weights come with --checkpoint: the run keeps them itself",
            )
    with _beside(code):
        made = _imported(code) if isinstance(code, str) else code
        if callable(made) and not isinstance(made, nn.Module):
            try:
                made = made(**kwargs)
            except Exception as error:  # whatever the user's own code raises
                given = ", ".join(f"{name}={value!r}" for name, value in kwargs.items())
                raise ModelError(
                    f"{_words(code)}({given}) raised {_reason(error)}",
                    "--model-arg NAME=VALUE gives it arguments; it has to run without others",
                ) from error
    if not isinstance(made, nn.Module):
        raise ModelError(
            f"{_words(code)} is a {type(made).__name__}, not a torch.nn.Module",
            "name a module, or a function or class that makes one",
        )
    return made


def _imported(place: str) -> Any:
    """What stands at `FILE.py:NAME`."""
    found = _PLACE.fullmatch(place)
    assert found is not None  # whoever calls has looked
    file, name = Path(found["file"]), found["name"]
    if not file.is_file():
        raise ModelError(f'there is no file "{file}"', "check the path")
    title = f"own_code_{file.stem}"
    spec = importlib.util.spec_from_file_location(title, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[title] = module  # where dataclasses and pickle look for what it defines
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's own code raises
        del sys.modules[title]
        raise ModelError(
            f'"{file}" cannot be imported: {_reason(error)}',
            "it is imported as a module: what runs a training belongs under if __name__",
        ) from error
    if not hasattr(module, name):
        known = [each for each in vars(module) if not each.startswith("_")]
        hint = did_you_mean(name, known) or "name what makes the network: FILE.py:NAME"
        raise ModelError(f'"{file}" has no "{name}"', hint)
    return getattr(module, name)


@contextlib.contextmanager
def _beside(code: Code) -> Iterator[None]:
    """The folder of a file can be imported from, as where Python runs the file."""
    found = _PLACE.fullmatch(code) if isinstance(code, str) else None
    folder = str(Path(found["file"]).resolve().parent) if found else ""
    if folder:
        sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _takes(code: Code, argument: str) -> bool:
    with _beside(code):
        made = _imported(code) if isinstance(code, str) else code
    if isinstance(made, nn.Module) or not callable(made):
        return False
    parameters = inspect.signature(made).parameters.values()
    return any(one.name == argument or one.kind is one.VAR_KEYWORD for one in parameters)


def _words(code: Code) -> str:
    return code if isinstance(code, str) else getattr(code, "__name__", type(code).__name__)


def _reason(error: BaseException) -> str:
    words = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
