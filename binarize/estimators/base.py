"""What every estimator shares: the forward is `sign`, only the backward differs.

An estimator is a small frozen dataclass. Its fields are the source's constants (each a recipe key);
its two methods are the surrogate `f(x, progress)`, where the source gives one, and the surrogate
gradient `f'(x, progress)`. `progress` goes from 0 at the first optimiser step to 1 at the last,
over the stages that use the estimator, so that no schedule ever counts epochs.

Some estimators need more than that of a layer, its *own values*: numbers that training learns along
with the weights (`learned`), or statistics of all the layer's latent weights (`measured`). Both
methods take them as further arguments, statistics first, as 0-d tensors, and do without them too: f and
f' are then those of a layer before training, whose standardised weights follow N(0, 1).

    dL/dx     = g·f'(x)
    dL/dtheta = sum over x of g·df/dtheta(x)          for every learned theta

To add one: write its file, add one line to the table in `estimators/__init__.py`. Tests, plots, the
command line and the documentation iterate that table.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from binarize.errors import EstimatorError


def sign(x: Tensor) -> Tensor:
    """+1 where `x >= 0`, else -1, in the dtype of `x`; sign(0) = sign(-0.0) = +1, always."""
    # In the type of x: on a CPU, through booleans it takes ten to twenty times as long.
    return x.detach().sign().add_(0.5).sign_()


def constant(
    default: float | None,
    meaning: str,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
) -> Any:
    """A dataclass field for one constant of an estimator, which refuses values out of its range.

    A constant whose default is None may be None.
    """
    lower = f"{above:g} < " if above > -math.inf else f"{at_least:g} <= "
    upper = f" <= {at_most:g}" if at_most < math.inf else ""
    upper = f" < {below:g}" if below < math.inf else upper

    def fits(value: Any) -> bool:
        number = isinstance(value, Real) and not isinstance(value, bool)
        finite = number and math.isfinite(value)
        return finite and above < value < below and at_least <= value <= at_most

    metadata = {
        "meaning": meaning,
        "range": f"{lower}{{name}}{upper}",
        "rule": "{name} must be a number with {range}",
        "fits": fits,
    }
    return dataclasses.field(default=default, metadata=metadata)


def choice(default: str, meaning: str, words: Sequence[str]) -> Any:
    """A dataclass field that is one of these words; anything else is refused."""
    metadata = {
        "meaning": meaning,
        "range": ", ".join(words),
        "rule": "{name} must be one of {range}",
        "fits": lambda value: isinstance(value, str) and value in words,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Constant:
    """One constant of an estimator, for listings: `range` reads like `0 < k_end`, or is the words that
    it may be."""

    name: str
    default: float | str | None
    meaning: str
    range: str


@dataclass(frozen=True)
class Estimator(ABC):
    """Base of the estimators: owns the forward and the autograd function.

    Class attributes:
        name: the word used on the command line and in recipes.
        source: paper and, where it differs, the code the constants were read in.
        formula: the surrogate gradient in one line, for listings and plots.
        schedule: what changes with the progress p, in one line; empty where nothing does.

    Raises EstimatorError, when made, for a constant out of its range.
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
            if not field.metadata["fits"](value):
                span = field.metadata["range"].format(name=field.name)
                self._refuse(field.name, field.metadata["rule"].format(name=field.name, range=span))

    def refuse(self, constant: str, rule: str) -> NoReturn:
        """Raise EstimatorError: the value of `constant` breaks `rule`."""
        self._refuse(constant, f"{constant} must be a number with {rule}")

    def _refuse(self, constant: str, hint: str) -> NoReturn:
        value = getattr(self, constant)
        raise EstimatorError(f'estimator "{self.name}" cannot take {constant} = {value!r}', hint)

    @classmethod
    def constants(cls) -> list[Constant]:
        """The constants that this estimator takes, in order."""
        return [
            Constant(
                field.name,
                getattr(cls, field.name),
                field.metadata["meaning"],
                field.metadata["range"].format(name=field.name),
            )
            for field in dataclasses.fields(cls)
        ]

    def surrogate(self, x: Tensor, progress: float, *own: Tensor) -> Tensor | None:
        """f(x): the stand-in for sign whose derivative the backward uses, of the shape of `x`; None
        where the source gives only a gradient."""
        return None

    @abstractmethod
    def surrogate_grad(self, x: Tensor, progress: float, *own: Tensor) -> Tensor:
        """f'(x): what the upstream gradient is multiplied by. Same shape as `x`."""

    def learned(self) -> dict[str, float]:
        """What training learns for each layer: the first values by name. A constant of the class."""
        return {}

    def learned_grad(self, x: Tensor, progress: float, *own: Tensor) -> tuple[Tensor, ...]:
        """df/dtheta(x) for each of `learned`, each of the shape of `x`."""
        return ()

    def measured(self, x: Tensor, progress: float) -> tuple[Tensor, ...]:
        """Statistics of all of a layer's x that f needs, 0-d and without a gradient."""
        return ()

    def own(self, x: Tensor, progress: float, learned: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
        """A layer's own values as `surrogate` takes them; x: all of its standardised weights."""
        return (*self.measured(x.detach(), progress), *learned)

    def __call__(self, x: Tensor, progress: float, *learned: Tensor) -> Tensor:
        """sign(x), with gradient g·f'(x, progress), computed in float32 where `x` is narrower.

        `learned`: the layer's parameters in the order of `learned()`, where the estimator has any.
        """
        return _SignWithSurrogate.apply(x, self, progress, *learned)


class _SignWithSurrogate(torch.autograd.Function):
    """Keeps `x` itself for the backward and nothing else: no second tensor of the weight's size."""

    @staticmethod
    def forward(x: Tensor, estimator: Estimator, progress: float, *learned: Tensor) -> Tensor:
        return sign(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.estimator, ctx.progress, *learned = inputs
        ctx.save_for_backward(x, *learned)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, *learned = ctx.saved_tensors
        estimator, progress, x = ctx.estimator, ctx.progress, widened(x)
        own = estimator.own(x, progress, learned)
        slope = estimator.surrogate_grad(x, progress, *own)
        to_learned = learned_grads(estimator, grad, x, progress, own) if learned else []
        return (grad * slope).to(grad.dtype), None, None, *to_learned


def learned_grads(
    estimator: Estimator, grad: Tensor, x: Tensor, progress: float, own: Sequence[Tensor]
) -> list[Tensor]:
    """dL/dtheta of every learned theta in `own`, from grad = dL/dsign(x)."""
    slopes = estimator.learned_grad(x, progress, *own)
    learned = own[len(own) - len(slopes) :]
    pairs = zip(slopes, learned, strict=True)
    return [(grad * slope).sum().to(theta.dtype) for slope, theta in pairs]


def widened(x: Tensor) -> Tensor:
    """`x` in float32 where it is float16 or bfloat16: too narrow for statistics and for k²x²."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def within(x: Tensor, reach: float | Tensor) -> Tensor:
    """1 where |x| <= reach, else 0, in the dtype of x and in a tensor of its own."""
    return x.abs().le_(reach)  # in place, for the reason that `sign` gives


def tanh_grad(x: Tensor) -> Tensor:
    """1 - tanh²(x), exact in its tails: 4·s·(1 - s) with s = sigmoid(-2|x|), which on a CPU is also
    several times as fast as tanh."""
    s = x.abs().mul_(-2).sigmoid_()
    return (1 - s).mul_(s).mul_(4)
