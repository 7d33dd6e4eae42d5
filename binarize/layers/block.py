"""What surgery puts into a block so that ±1 inputs can work in it.

The sign of what a ReLU made is the constant +1, and the sign of anything forgets its magnitude. So the
ReLU before a binary layer goes (`Dropped`) or is replaced (`RPReLU`), and the values that the layer sees
only as signs are carried past it (`Shortcut`). Each is the identity of what was there before when it is
not enabled.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from binarize.layers.added import AddedModule


class Dropped(AddedModule):
    """A ReLU taken away: y = x; y = max(x, 0) when not enabled. Any shape.

    Source: Bi-Real Net, arXiv 1808.00278: nothing but the batch normalisation before the next sign.

    Args:
        inplace: of the ReLU that was here. It says who owns the result: without it, the result is a copy,
            because what follows may write into it.
    """

    role = "inputs"

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        if not self.enabled:
            return F.relu(x, inplace=self.inplace)
        return x if self.inplace else x.clone()

    def extra_repr(self) -> str:
        return f"inplace={self.inplace}"


class RPReLU(AddedModule):
    """A ReLU with a slope and two shifts per channel; y = max(x, 0) when not enabled.

        z = x - shift;  y = z + out_shift where z >= 0, slope·z + out_shift elsewhere

    Source: ReActNet, arXiv 2003.03488, equation 5; slopes begin at 0.25, shifts at 0.

    Args:
        channels: C.
        axis: where x has them: 1 or -1.
        inplace: of the ReLU that was here.
    """

    role = "inputs"

    def __init__(self, channels: int, axis: int = 1, inplace: bool = False) -> None:
        super().__init__()
        self.axis = axis
        self.inplace = inplace
        self.shift = nn.Parameter(torch.zeros(channels))
        self.slope = nn.Parameter(torch.full((channels,), 0.25))
        self.out_shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if not self.enabled:
            return F.relu(x, inplace=self.inplace)
        z = x - self._along(self.shift, x)
        return torch.where(z >= 0, z, z * self._along(self.slope, x)) + self._along(
            self.out_shift, x
        )

    def _along(self, values: Tensor, x: Tensor) -> Tensor:
        after = 0 if self.axis == -1 else x.ndim - self.axis - 1
        return values.reshape(-1, *[1] * after)

    def extra_repr(self) -> str:
        return f"{len(self.slope)}, axis={self.axis}, inplace={self.inplace}"


class Shortcut(AddedModule):
    """The input of a layer, added to what the layer and its norm made: y + x; y when not enabled.

        y [N, C, H, W], x [N, C, H, W]; with `stride` k > 1, x is averaged over k x k first, and
        H = ceil(H_x/k), W = ceil(W_x/k)

    Source: Bi-Real Net, arXiv 1808.00278; the average pooling as in its downsampling blocks.
    """

    role = "inputs"

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        if not self.enabled:
            return y
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride, ceil_mode=True, count_include_pad=False)
        return _Sum.apply(y, x) if self.training else y + x

    def extra_repr(self) -> str:
        return f"stride={self.stride}"


class _Sum(torch.autograd.Function):
    """y + x of equal shapes; the gradient is laid out in memory as y is.

    Slices and pads hand down contiguous gradients. A ReLU's backward lays them out anew; where there is
    none any more, they run on along all shortcuts, and a channels_last batch norm takes many times as
    long for them.
    """

    @staticmethod
    def forward(y: Tensor, x: Tensor) -> Tensor:
        return y + x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        y, _ = inputs
        ctx.last = y.ndim == 4 and y.is_contiguous(memory_format=torch.channels_last)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        if ctx.last:
            grad = grad.contiguous(memory_format=torch.channels_last)
        return grad, grad
