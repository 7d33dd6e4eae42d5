"""Binary inputs of a layer: two values instead of floats, split at a threshold that calibration finds.

    step   a = scale · 1[x >= threshold]      {0, scale}, one threshold and one scale a layer, learned
    sign   a = scale · sign(x + shift)        ±scale, one shift a channel, learned; scale fixed

A binarizer gives the two values without the scale ({0, 1} or ±1), so that a layer can multiply by
integers and scale afterwards, exactly; see `layers.product`. Surrogate gradients belong to a, scale
included: the backward divides by it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from binarize import estimators
from binarize.errors import BinarizeError, did_you_mean
from binarize.estimators import widened
from binarize.layers.addition import Addition

SATURATED = 0.95
"""A layer whose binary input is one value more often than this learns next to nothing from it."""
ROUNDS = 12
"""Of the fixed-point search for a step's scale; it changes by less than 1 % after eight."""


class InputBinarizer(Addition):
    """x -> binary x without its scale, of the same shape; a child of the layer that it belongs to.

    Attributes:
        name: the word used on the command line and in recipes.
        scale: of the binary input, [1].
        calibrating: the next forwards set threshold, shift and scale to the mean of what each of them
            would choose for what it sees.
        watching: the next forward records `ones`.
        ones: share of the larger value in the last watched forward.
    """

    name: ClassVar[str]
    op: ClassVar[str]
    part = "inputs"
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.calibrating = False
        self.watching = False
        self.ones: float | None = None
        self._seen = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.calibrating:
            self._calibrate(widened(x.detach()))
        binary = self.binarize(x)
        if self.watching:
            self.ones = float((binary.detach() > 0).float().mean())
        return binary

    @property
    def saturation(self) -> float | None:
        """Share of the commoner value in the last watched forward."""
        return None if self.ones is None else max(self.ones, 1 - self.ones)

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
    def split(self) -> Tensor:
        """Threshold [1] or shift [C]: what the exported op takes beside x."""

    @abstractmethod
    def clipped(self, x: Tensor) -> Tensor:
        """The binarizer with its jump replaced by a slope: what parity is measured with, because
        rounding cannot flip it."""


class Step(InputBinarizer):
    """b = 1[x >= t], and a = s·b with t and s learned.

    Gradient: da/dx = 1[|x - t| <= s], da/dt = -da/dx, da/ds = b; those of t and s are divided by
    the square root of the number of values per image (LSQ, Esser et al., arXiv 1902.08153), since each
    is the sum over all of them.

    Calibration: the least squares fit of {0, s}: t = s/2 and s = mean of the x at or above t, by fixed
    point. A threshold that would leave more than `SATURATED` of one value is put at the mean instead.
    """

    name = "step"
    op = "Step"

    def __init__(self, channels: int, axis: int) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.full((1,), 0.5))
        self.scale = nn.Parameter(torch.ones(1))

    def binarize(self, x: Tensor) -> Tensor:
        return _Step.apply(x, self.threshold, self.scale.detach())

    def slowed_scale(self, x: Tensor) -> Tensor:
        share = 1 / _per_image(x)
        return self.scale * share + (self.scale * (1 - share)).detach()

    def best(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scale = 2 * x.abs().mean().clamp(min=_TINY)
        for _ in range(ROUNDS):
            scale = _mean_above(x, scale / 2, scale)
        threshold = scale / 2
        ones = (x >= threshold).float().mean()
        if max(ones, 1 - ones) > SATURATED:
            threshold = x.mean()
            scale = _mean_above(x, threshold, scale).abs().clamp(min=_TINY)
        return threshold, scale

    def _calibrated(self) -> tuple[Tensor, Tensor]:
        return self.threshold, self.scale

    @property
    def split(self) -> Tensor:
        return self.threshold

    def clipped(self, x: Tensor) -> Tensor:
        return (x - self.threshold + 0.5).clamp(0, 1)


class Sign(InputBinarizer):
    """b = sign(x + shift), sign(0) = +1, and a = s·b; the shift of each channel is learned (RSign of
    ReActNet, Liu et al., arXiv 2003.03488).

    Gradient: that of `approx-sign` (Bi-Real Net, arXiv 1808.00278) at (x + shift)/s.
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
        self.estimator = estimators.get("approx-sign")

    def binarize(self, x: Tensor) -> Tensor:
        return self.estimator(self.shifted(x) / self.scale.to(x.dtype), 0.0)

    def shifted(self, x: Tensor) -> Tensor:
        """x + shift, the shift along the axis of the channels."""
        return x + along(self.shift, x.ndim, self.axis).to(x.dtype)

    def best(self, x: Tensor) -> tuple[Tensor, Tensor]:
        axis = self.axis % x.ndim
        shift = -x.mean([n for n in range(x.ndim) if n != axis])
        scale = (x + along(shift, x.ndim, axis)).abs().mean().clamp(min=_TINY)
        return shift, scale

    def _calibrated(self) -> tuple[Tensor, Tensor]:
        return self.shift, self.scale

    @property
    def split(self) -> Tensor:
        return self.shift

    def clipped(self, x: Tensor) -> Tensor:
        return self.shifted(x).clamp(-1, 1)


_TINY = 1e-6  # scales are divided by

TABLE: dict[str, Callable[[int, int], InputBinarizer]] = {kind.name: kind for kind in (Step, Sign)}
FLOAT = "float"
NAMES = (FLOAT, *TABLE)


def check(name: str) -> None:
    """Raises BinarizeError for activations that there are not."""
    if name not in NAMES:
        hint = did_you_mean(name, NAMES) or f"choose from {', '.join(NAMES)}"
        raise BinarizeError(f'there are no activations "{name}"', hint)


def along(vector: Tensor, ndim: int, axis: int) -> Tensor:
    """[C] -> a view that broadcasts along `axis` of a tensor of `ndim` dimensions."""
    shape = [1] * ndim
    shape[axis] = -1
    return vector.reshape(shape)


def _mean_above(x: Tensor, threshold: Tensor, otherwise: Tensor) -> Tensor:
    above = x >= threshold
    count = above.sum()
    return torch.where(count > 0, (x * above).sum() / count.clamp(min=1), otherwise)


class _Step(torch.autograd.Function):
    """Keeps x and t, from which everything else is made again."""

    @staticmethod
    def forward(x: Tensor, threshold: Tensor, scale: Tensor) -> Tensor:
        return (x >= threshold).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, threshold, scale = ctx.saved_tensors
        near = (x - threshold).abs() <= scale
        passed = torch.where(near, grad / scale.to(grad.dtype), 0)
        total = -passed.float().sum().reshape(1)
        return passed, (total / _per_image(x)).to(threshold.dtype), None


def _per_image(x: Tensor) -> float:
    """Square root of the number of values of one image."""
    return math.sqrt(max(x[0].numel(), 1))
