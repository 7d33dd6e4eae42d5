"""What every estimator shares: the forward is `sign`, only the backward differs.

An estimator is a small frozen dataclass. Its fields are the source's constants (each a recipe key);
its two methods are the surrogate `f(x, progress)`, where the source gives one, and the surrogate
gradient `f'(x, progress)`. `progress` goes from 0 at the first optimiser step to 1 at the last,
over the stages that use the estimator, so that no schedule ever counts epochs.

To add one: write its file, add one line to the table in `estimators/__init__.py`. Tests, plots, the
command line and the documentation iterate that table.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor

from binarize.errors import EstimatorError


def sign(x: Tensor) -> Tensor:
    """+1 where `x >= 0`, else -1, in the dtype of `x`; sign(0) = sign(-0.0) = +1, always."""
    # In place, in the type of x: on a CPU, through booleans it takes ten times as long.
    return x.detach().clone().ge_(0).mul_(2).sub_(1)


def constant(
    default: float | None,
    meaning: str,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    at_most: float = math.inf,
) -> Any:
    """A dataclass field for one constant of an estimator, which refuses values out of its range.

    A constant whose default is None may be None.
    """
    lower = f"{above:g} < " if above > -math.inf else f"{at_least:g} <= "
    upper = f" <= {at_most:g}" if at_most < math.inf else ""
    metadata = {
        "meaning": meaning,
        "range": f"{lower}{{name}}{upper}",
        "fits": lambda value: above < value and at_least <= value <= at_most,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Constant:
    """One constant of an estimator, for listings: `range` reads like `0 < k_end`."""

    name: str
    default: float | None
    meaning: str
    range: str


@dataclass(frozen=True)
class Estimator(ABC):
    """Base of the estimators: owns the forward and the only autograd function.

    Class attributes:
        name: the word used on the command line and in recipes.
        source: paper and, where it differs, the code the constants were read in.
        formula: the surrogate gradient in one line, for listings and plots.
        schedule: what changes with the progress p, in one line; empty where nothing does.

    Raises EstimatorError, when made, for a constant that is not a number in its range.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    formula: ClassVar[str]
    schedule: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and field.metadata["fits"](value)):
                self.refuse(field.name, field.metadata["range"].format(name=field.name))

    def refuse(self, constant: str, rule: str) -> NoReturn:
        """Raise EstimatorError: the value of `constant` breaks `rule`."""
        raise EstimatorError(
            f'estimator "{self.name}" cannot take {constant} = {getattr(self, constant)!r}',
            f"{constant} must be a number with {rule}",
        )

    @classmethod
    def constants(cls) -> list[Constant]:
        """The constants that this estimator takes, in order."""
        return [
            Constant(
                field.name,
                field.default,
                field.metadata["meaning"],
                field.metadata["range"].format(name=field.name),
            )
            for field in dataclasses.fields(cls)
        ]

    def surrogate(self, x: Tensor, progress: float) -> Tensor | None:
        """f(x): the stand-in for sign whose derivative the backward uses, of the shape of `x`; None
        where the source gives only a gradient."""
        return None

    @abstractmethod
    def surrogate_grad(self, x: Tensor, progress: float) -> Tensor:
        """f'(x): what the upstream gradient is multiplied by. Same shape as `x`."""

    def __call__(self, x: Tensor, progress: float) -> Tensor:
        """sign(x), with gradient g·f'(x, progress), computed in float32 where `x` is narrower."""
        return _SignWithSurrogate.apply(x, self, progress)


class _SignWithSurrogate(torch.autograd.Function):
    """Keeps `x` itself for the backward and nothing else: no second tensor of the weight's size."""

    @staticmethod
    def forward(x: Tensor, estimator: Estimator, progress: float) -> Tensor:
        return sign(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Estimator, float], output: Tensor) -> None:
        x, ctx.estimator, ctx.progress = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        slope = ctx.estimator.surrogate_grad(widened(x), ctx.progress)
        return (grad * slope).to(grad.dtype), None, None


def widened(x: Tensor) -> Tensor:
    """`x` in float32 where it is float16 or bfloat16: too narrow for statistics and for k²x²."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
