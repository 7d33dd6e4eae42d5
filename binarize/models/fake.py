"""Networks of any size without their memory: created as always, but of tensors without data.

A constructor does three things with tensors. It makes parameters (`torch.empty`, then an
initialisation), it computes tables (positions, masks), and it reads numbers out of small tensors
(`torch.linspace(0, rate, depth).tolist()`, a drop rate per block). Fake tensors have shapes but no
data: they cost nothing, and cannot be read. So inside `without_data`

1. what is filled with one value or at random is fake, and initialising it does nothing;
2. what is computed from real tensors alone (`arange`, `linspace`, `tensor` and what follows from
   them) is real, so that numbers can be read from it;
3. what is computed from a fake tensor is fake.

`rewrite.capture` runs such a network like any other, and `rewrite.convert(…, values=False)` converts it.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.overrides import TorchFunctionMode

from binarize.run import ModelSpec

MADE = {
    *(torch.empty, torch.empty_strided, torch.zeros, torch.ones, torch.full),
    *(torch.rand, torch.randn, torch.randint, torch.randperm),
}
"""Functions whose result is fake although they take no fake tensor."""

INITIALISING = {
    *("constant_", "fill_", "zero_", "normal_", "uniform_", "random_", "bernoulli_"),
    *("exponential_", "erfinv_", "orthogonal_", "kaiming_normal_", "kaiming_uniform_"),
    *("xavier_normal_", "xavier_uniform_"),
}
"""Tensor methods and functions of `nn.init` that only set values: a fake tensor has none."""

IS_META = inspect.getattr_static(Tensor, "is_meta").__get__
"""What `tensor.is_meta` calls."""


def create_fake(name: str | ModelSpec, **kwargs: Any) -> nn.Module:
    """The module that `models.create` makes of the same arguments, with parameters without data."""
    from binarize.models.create import create  # which asks here for a constructor's parameters

    with without_data():
        return create(name, **kwargs)


@contextlib.contextmanager
def without_data() -> Iterator[FakeTensorMode]:
    """Modules that are made in this block have fake parameters, all of the mode that it yields."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, _Sorting():
        yield mode


class _Sorting(TorchFunctionMode):
    """Decides for each torch function whether it is to run on real tensors, on fake ones or not at all."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        for tensor in _tensors((*args, *kwargs.values())):
            if isinstance(tensor, FakeTensor):
                return _on_fake(func, tensor, args, kwargs)
        if func in MADE:
            return func(*args, **kwargs)
        with unset_fake_temporarily():
            return func(*args, **kwargs)


def _on_fake(func: Callable[..., Any], tensor: Tensor, args: Any, kwargs: Any) -> Any:
    """What `func` gives, `tensor` being the first of its tensors that is fake."""
    if func == IS_META:
        return True  # initialisers that draw until they are content ask this first
    if func == Tensor.__deepcopy__:  # torch's own would copy the storage
        copied = tensor.detach()
        parameter = isinstance(tensor, nn.Parameter)
        return nn.Parameter(copied, tensor.requires_grad) if parameter else copied
    if getattr(func, "__name__", "") in INITIALISING:
        return tensor
    return func(*args, **kwargs)


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)
