"""Binary inputs of a layer: two values instead of floats, on either side of a threshold that calibration
finds.

    step   a = scale · 1[x >= threshold]      {0, scale}, one threshold and one scale a layer, learned
    sign   a = scale · sign(x + shift)        ±scale, one shift a channel, learned; scale fixed

A binarizer gives the two values without the scale ({0, 1} or ±1), so that a layer can multiply by
integers and scale afterwards, exactly; see `layers.product`. Surrogate gradients belong to a, scale
included: the backward divides by it.
"""

from __future__ import annotations

import contextlib
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from binarize.errors import BinarizeError, did_you_mean
from binarize.estimators import widened
from binarize.layers.added import AddedModule

IMBALANCED = 0.95
"""A layer whose binary input is one value more often than this learns next to nothing from it."""
SLOPE = 0.25
"""Of the smooth surrogate: gentle enough that fifty layers do not amplify rounding."""
ROUNDS = 12
"""Of the fixed-point search for a step's scale; it changes by less than 1 % after eight."""


class InputBinarizer(AddedModule):
    """x -> binary x without its scale, of the same shape; a child of the layer that it belongs to.

    Attributes:
        name: the word used on the command line and in recipes.
        scale: of the binary input, [1].
        calibrating: the next forwards set threshold, shift and scale to the mean of what each of them
            would choose for what it sees.
        watching: the next forward records `density`.
        smoothed: the next forwards give what `smooth` gives (see `smooth_surrogate`).
        density: activation density, the share of the larger value in the last watched forward.
    """

    name: ClassVar[str]
    op: ClassVar[str]
    role = "inputs"
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.calibrating = False
        self.watching = False
        self.smoothed = False
        self.density: float | None = None
        self._seen = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.calibrating:
            self._calibrate(widened(x.detach()))
        binary = self.smooth(x) if self.smoothed else self.binarize(x)
        if self.watching:
            self.density = float((binary.detach() > 0).float().mean())
        return binary

    @property
    def imbalance(self) -> float | None:
        """Sign imbalance: share of the commoner value in the last watched forward."""
        return None if self.density is None else max(self.density, 1 - self.density)

    def start_calibration(self) -> None:
        """Forget what was seen; from now on every forward adds to it, until `calibrating` is unset."""
        self.calibrating, self._seen = True, 0

    def slowed_scale(self, x: Tensor) -> Tensor:
        """The scale, as the product with inputs like x takes it."""
        return self.scale

    @torch.no_grad()
    def _calibrate(self, x: Tensor) -> None:
        self._seen += 1
        for tensor, value in zip(self._calibrated(), self.best(x), strict=True):
            tensor += (value.to(tensor) - tensor) / self._seen

    @abstractmethod
    def binarize(self, x: Tensor) -> Tensor:
        """{0, 1} or ±1, with a surrogate gradient."""

    @abstractmethod
    def best(self, x: Tensor) -> tuple[Tensor, ...]:
        """What calibration sets, for the inputs x alone."""

    @abstractmethod
    def _calibrated(self) -> tuple[Tensor, ...]:
        """The tensors that `best` has values for."""

    @property
    @abstractmethod
    def boundary(self) -> Tensor:
        """Threshold [1] or shift [C]: what the exported op takes beside x."""

    @abstractmethod
    def smooth(self, x: Tensor) -> Tensor:
        """The binarizer with its threshold replaced by a slope: what parity is measured with, because
        rounding cannot flip it."""


class StepBinarizer(InputBinarizer):
    """b = 1[x >= t], and a = s·b with t and s learned.

    Gradient: da/dx = 1[|x - t| <= s], da/dt = -da/dx, da/ds = b; those of t and s are divided by
    the square root of the number of values per image (LSQ, Esser et al., arXiv 1902.08153), since each
    is the sum over all of them.

    Calibration: the least squares fit of {0, s}: t = s/2 and s = mean of the x at or above t, by fixed
    point. A threshold that would leave more than `IMBALANCED` of one value is put at the mean instead.
    """

    name = "step"
    op = "Step"

    def __init__(self, channels: int, axis: int) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.full((1,), 0.5))
        self.scale = nn.Parameter(torch.ones(1))

    def binarize(self, x: Tensor) -> Tensor:
        return _StepFunction.apply(x, self.threshold, self.scale.detach())

    def slowed_scale(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.scale
        slow = self.scale / _per_image(x)
        return self.scale.detach() + (slow - slow.detach())  # to the bit the scale, in value

    def best(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scale = 2 * x.abs().mean().clamp(min=_TINY)
        for _ in range(ROUNDS):
            scale = _mean_above(x, scale / 2, scale)
        threshold = scale / 2
        density = (x >= threshold).float().mean()
        if max(density, 1 - density) > IMBALANCED:
            threshold = x.mean()
            scale = _mean_above(x, threshold, scale).abs().clamp(min=_TINY)
        return threshold, scale

    def _calibrated(self) -> tuple[Tensor, Tensor]:
        return self.threshold, self.scale

    @property
    def boundary(self) -> Tensor:
        return self.threshold

    def smooth(self, x: Tensor) -> Tensor:
        return ((x - self.threshold) * SLOPE + 0.5).clamp(0, 1)


class SignBinarizer(InputBinarizer):
    """b = sign(x + shift), sign(0) = +1, and a = s·b; the shift of each channel is learned (RSign of
    ReActNet, Liu et al., arXiv 2003.03488).

    Gradient: da/dx = da/dshift = 2 - 2|u| for |u| < 1, else 0, at u = (x + shift)/s: that of `approx-sign`
    (Bi-Real Net, Liu et al., arXiv 1808.00278).
    Calibration: shift = -mean of the channel, s = mean |x + shift| over all.
    """

    name = "sign"
    op = "Sign"
    scale: Tensor

    def __init__(self, channels: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.shift = nn.Parameter(torch.zeros(channels))
        self.register_buffer("scale", torch.ones(1))

    def binarize(self, x: Tensor) -> Tensor:
        return _SignFunction.apply(x, self.shift, self.scale, self.axis)

    def shifted(self, x: Tensor) -> Tensor:
        """x + shift, the shift along the axis of the channels."""
        return x + _spread(self.shift, x, self.axis)

    def best(self, x: Tensor) -> tuple[Tensor, Tensor]:
        axis = self.axis % x.ndim
        shift = -x.mean([n for n in range(x.ndim) if n != axis])
        scale = (x + along(shift, x.ndim, axis)).abs().mean().clamp(min=_TINY)
        return shift, scale

    def _calibrated(self) -> tuple[Tensor, Tensor]:
        return self.shift, self.scale

    @property
    def boundary(self) -> Tensor:
        return self.shift

    def smooth(self, x: Tensor) -> Tensor:
        return (self.shifted(x) * SLOPE).clamp(-1, 1)


_TINY = 1e-6  # scales are divided by

TABLE: dict[str, Callable[[int, int], InputBinarizer]] = {
    kind.name: kind for kind in (StepBinarizer, SignBinarizer)
}
FLOAT = "float"
NAMES = (FLOAT, *TABLE)


def check(name: str) -> None:
    """Raises BinarizeError for activations that there are not."""
    if name not in NAMES:
        hint = did_you_mean(name, NAMES) or f"choose from {', '.join(NAMES)}"
        raise BinarizeError(f'there are no activations "{name}"', hint)


@contextlib.contextmanager
def smooth_surrogate(model: nn.Module) -> Iterator[None]:
    """`model` with a slope for the threshold of every binary input, while the block runs.

    It is the model itself that changes: no other thread may be running it.
    """
    inputs = [module for module in model.modules() if isinstance(module, InputBinarizer)]
    for binarizer in inputs:
        binarizer.smoothed = True
    try:
        yield
    finally:
        for binarizer in inputs:
            binarizer.smoothed = False


def along(vector: Tensor, ndim: int, axis: int) -> Tensor:
    """[C] -> a view that broadcasts along `axis` of a tensor of `ndim` dimensions."""
    shape = [1] * ndim
    shape[axis] = -1
    return vector.reshape(shape)


def _mean_above(x: Tensor, threshold: Tensor, otherwise: Tensor) -> Tensor:
    above = x >= threshold
    count = above.sum()
    return torch.where(count > 0, (x * above).sum() / count.clamp(min=1), otherwise)


class _StepFunction(torch.autograd.Function):
    """Keeps x and t, from which everything else is made again. Comparisons are made in place, in the
    type of x: on a CPU, through booleans they take ten times as long."""

    @staticmethod
    def forward(x: Tensor, threshold: Tensor, scale: Tensor) -> Tensor:
        return x.detach().clone().ge_(threshold.to(x.dtype))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, threshold, scale = ctx.saved_tensors
        scale = scale.to(x.dtype)
        passed = (x - threshold.to(x.dtype)).abs_().le_(scale).mul_(grad).div_(scale)
        total = -passed.sum(dtype=torch.float32).reshape(1)
        return passed, (total / _per_image(x)).to(threshold.dtype), None


class _SignFunction(torch.autograd.Function):
    """Keeps x and the shift, from which everything else is made again, in place as in `_StepFunction`."""

    @staticmethod
    def forward(x: Tensor, shift: Tensor, scale: Tensor, axis: int) -> Tensor:
        return (x + _spread(shift, x, axis)).ge_(0).mul_(2).sub_(1)  # as `sign`, but in place

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, shift, scale, ctx.axis = inputs
        ctx.save_for_backward(x, shift, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, shift, scale = ctx.saved_tensors
        scale = scale.to(x.dtype)
        slope = (x + _spread(shift, x, ctx.axis)).abs_().div_(-scale).add_(1).clamp_(min=0)
        passed = slope.mul_(grad).mul_(2 / scale)
        others = [n for n in range(x.ndim) if n != ctx.axis % x.ndim]
        return passed, passed.sum(others, dtype=torch.float32).to(shift.dtype), None, None


def _spread(shift: Tensor, x: Tensor, axis: int) -> Tensor:
    """[C] as large as one image of x and laid out in memory like it: on a CPU, adding a vector along the
    channels of a channels_last tensor takes ten times as long."""
    image = torch.empty_like(x[:1])
    return image.copy_(along(shift, x.ndim, axis))


def _per_image(x: Tensor) -> float:
    """Square root of the number of values of one image."""
    return math.sqrt(max(x[0].numel(), 1))
