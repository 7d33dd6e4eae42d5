"""sign, and the one autograd function: forward sign, backward g·f'."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from binarize import estimators
from binarize.estimators import sign

every_estimator = pytest.mark.parametrize("name", estimators.TABLE)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sign_of_either_zero_is_plus_one(dtype):
    x = torch.tensor([0.0, -0.0, 1e-3, -1e-3, float("inf"), -float("inf")], dtype=dtype)
    expected = torch.tensor([1, 1, 1, -1, 1, -1], dtype=dtype)
    assert torch.equal(sign(x), expected)
    assert sign(x).dtype == dtype


@given(st.floats(allow_nan=False, width=32))
def test_sign_is_plus_one_exactly_where_x_is_not_negative(x):
    assert sign(torch.tensor(x)).item() == (1.0 if x >= 0 else -1.0)


@every_estimator
def test_the_forward_is_sign(name):
    x = torch.cat([torch.randn(100), torch.zeros(1), -torch.zeros(1)])
    assert torch.equal(estimators.get(name)(x, 0.5), sign(x))


@every_estimator
@pytest.mark.parametrize("progress", [0.0, 0.4, 1.0])
def test_the_backward_multiplies_by_the_surrogate_gradient(name, progress):
    estimator = estimators.get(name)
    x = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(6, 5, dtype=torch.float64)
    (grad,) = torch.autograd.grad(estimator(x, progress), x, upstream)
    own = estimator.own(x, progress)
    assert torch.equal(grad, upstream * estimator.surrogate_grad(x.detach(), progress, *own))


@every_estimator
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_inputs_are_computed_in_float32(name, dtype):
    estimator = estimators.get(name)
    x = torch.linspace(-2, 2, 999).to(dtype).requires_grad_()
    upstream = torch.linspace(0.5, 1.5, 999).to(dtype)
    output = estimator(x, 0.8)
    (grad,) = torch.autograd.grad(output, x, upstream)
    wide = x.detach().float()
    exact = upstream.float() * estimator.surrogate_grad(wide, 0.8, *estimator.own(wide, 0.8))
    assert output.dtype == grad.dtype == dtype
    assert torch.equal(grad, exact.to(dtype))


@every_estimator
def test_the_backward_keeps_x_and_nothing_else(name):
    kept = []
    x = torch.randn(64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        estimators.get(name)(x, 0.5)
    assert [tensor.data_ptr() for tensor in kept] == [x.data_ptr()]


@every_estimator
def test_no_gradient_is_asked_of_an_input_that_needs_none(name):
    assert not estimators.get(name)(torch.randn(3), 0.5).requires_grad


def test_it_can_be_used_under_torch_func():
    estimator = estimators.get("ab-tanh")
    x = torch.randn(7)
    grad = torch.func.grad(lambda v: estimator(v, 1.0).sum())(x)
    assert torch.equal(grad, estimator.surrogate_grad(x, 1.0))
