"""Inner outputs of a network, and how far those of two networks are apart.

Everything is looked at where a module returns it: an activation behind it may work in place.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from binarize.models import logits_of

LOGITS = ""
"""The name of the network's own output."""
KEPT = torch.bfloat16
"""Outputs to compare with are kept in half the bytes: what is lost, 2^-9 of a value, is far below the
errors that are measured with them."""
TINY = 1e-12
"""At least so much is the mean square of an output that is 0 everywhere."""

Outputs = Mapping[str, Sequence[Tensor]]
"""Name of a module -> what it returned, once for each time it ran; the logits last."""
See = Callable[[str, int, Tensor], None]


@dataclass(frozen=True)
class Watched:
    """A network and the modules of it that are looked at.

    Attributes:
        model: the network.
        names: of its modules. Of what they return, only single tensors count.
        submodule: the part of it that is run on images; "" for all.
        within: what the names are relative to, "" for the network itself.
    """

    model: nn.Module
    names: Sequence[str]
    submodule: str = ""
    within: str = ""

    def outputs(self, images: Tensor) -> Outputs:
        """What the network returns for `images` [N, C, H, W]: inside it as `KEPT` copies, and the logits."""
        found: dict[str, list[Tensor]] = {}

        def keep(name: str, _: int, output: Tensor) -> None:
            kept = output.dtype if name == LOGITS else KEPT
            found.setdefault(name, []).append(output.detach().to(kept))

        self.run(images, keep)
        return found

    def errors(self, images: Tensor, wanted: Outputs) -> tuple[Tensor, dict[str, Tensor]]:
        """(the logits, how far each output is from the wanted one: mean((found - wanted)²)/mean(wanted²)).

        0: the same; 1: as far apart as zeros would be. By name, with a number behind it where a module runs
        several times; 0-d, float32, with gradients. An output that only one of the networks has, or that
        has another shape there, is not compared.
        """
        errors: dict[str, Tensor] = {}

        def compare(name: str, time: int, output: Tensor) -> None:
            others = wanted.get(name, ())
            if time < len(others) and output.shape == others[time].shape:
                errors[f"{name}#{time}" if time else name] = relative_error(output, others[time])

        return self.run(images, compare), errors

    def run(self, images: Tensor, see: See = lambda *_: None) -> Tensor:
        """One forward. `see` is called with a module's name, how often it ran before, and its output."""
        with self._hooked(see):
            logits = logits_of(self.model.get_submodule(self.submodule)(images))
        see(LOGITS, 0, logits)
        return logits

    @contextlib.contextmanager
    def _hooked(self, see: See) -> Iterator[None]:
        """Hooks for one forward: they would otherwise be copied with the model."""
        times: Counter[str] = Counter()

        def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def look(_: nn.Module, __: Any, output: Any) -> None:
                if isinstance(output, Tensor):
                    see(name, times[name], output)
                    times[name] += 1

            return look

        root = self.model.get_submodule(self.within)
        modules = [(name, root.get_submodule(name)) for name in self.names]
        handles = [module.register_forward_hook(hook(name)) for name, module in modules]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def relative_error(found: Tensor, wanted: Tensor) -> Tensor:
    """mean((found - wanted)²)/mean(wanted²), 0-d, float32; no gradient reaches `wanted`."""
    error: Tensor = _RelativeError.apply(found, wanted)
    return error


class _RelativeError(torch.autograd.Function):
    """Keeps the difference alone: `found` may be changed in place afterwards. The backward, 2·g·(found -
    wanted)/sum wanted², is one multiplication; that of a norm also divides, and looks for zeros."""

    @staticmethod
    def forward(ctx: Any, found: Tensor, wanted: Tensor) -> Tensor:
        wanted = wanted.float()
        size = _sum_of_squares(wanted).clamp_min(TINY * wanted.numel())
        difference = found.float() - wanted
        ctx.save_for_backward(difference, size)
        ctx.dtype = found.dtype
        return _sum_of_squares(difference) / size

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        difference, size = ctx.saved_tensors
        return (difference * (2 * grad / size)).to(ctx.dtype), None


def _sum_of_squares(x: Tensor) -> Tensor:
    """Row by row, and then of these: a float32 norm of ten millions of values is off by a thousandth."""
    inner = tuple(range(1, x.ndim))
    return (torch.linalg.vector_norm(x, dim=inner) if inner else x).square().sum()
