"""What can go wrong, in words for the person at the keyboard.

Every error says in one sentence what is wrong and, in `hint`, one thing to do about it. The command
line prints both and exits with 1; a Python caller catches `BinarizeError` or one of its kinds:

    BinarizeError
      ModelError        no such model, or one that cannot be traced or rebuilt
      PatternError      a layer pattern that matches nothing
      EstimatorError    no such estimator, or a constant that it does not take
      RecipeError       a recipe that cannot be read or does not fit the schema
      DataError         a data set that is missing, unreadable or of the wrong classes
      CheckpointError   weights that are missing, corrupt or of another model
      RunError          a run directory that is missing or not one
        RunBusyError    a run that another process is training
      ExportError       an ONNX file that cannot be written, read or validated
      TrainingError     training that cannot continue
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class BinarizeError(Exception):
    """Base of every error that this package raises on purpose."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ModelError(BinarizeError):
    """No such model, or one that cannot be traced or rebuilt."""


class PatternError(BinarizeError):
    """A layer pattern that matches nothing."""


class EstimatorError(BinarizeError):
    """No such estimator, or a constant that it does not take."""


class RecipeError(BinarizeError):
    """A recipe that cannot be read or does not fit the schema."""


class DataError(BinarizeError):
    """A data set that is missing, unreadable or of the wrong classes."""


class CheckpointError(BinarizeError):
    """Weights that are missing, corrupt or of another model."""


class RunError(BinarizeError):
    """A run directory that is missing or not one."""


class RunBusyError(RunError):
    """A run that another process is training."""


class ExportError(BinarizeError):
    """An ONNX file that cannot be written, read or validated."""


class TrainingError(BinarizeError):
    """Training that cannot continue."""


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """`did you mean "ab-tanh"?`, or an empty string where nothing known is near `word`.

    `cutoff`: how similar that is; 1 is equal.
    """
    near = difflib.get_close_matches(word, list(known), n=8, cutoff=cutoff)
    longer = [
        one for one in near if one.startswith(word)
    ]  # before others as near: the end is missing
    return f'did you mean "{(longer or near)[0]}"?' if near else ""


def near_words(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """`function`, whose TypeError for a keyword that it does not take names the nearest one that it does."""
    known = inspect.signature(function).parameters

    @functools.wraps(function)
    def called(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        for name in kwargs:
            if name not in known:
                hint = did_you_mean(name, known) or f"it takes {', '.join(known)}"
                raise TypeError(f'{function.__name__}() has no argument "{name}"; {hint}')
        return function(*args, **kwargs)

    return called
