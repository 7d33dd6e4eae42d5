"""The table of scales."""

from __future__ import annotations

import pytest
import torch

from binarize.errors import BinarizeError
from binarize.layers import scale

WEIGHT = torch.tensor([[1.0, -3.0], [0.5, 0.0], [-4.0, 4.0]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("channel", [[2.0], [0.25], [4.0]]),
        ("layer", [[12.5 / 6]]),
        ("none", [[1.0]]),
    ],
)
def test_the_scale_is_the_mean_magnitude(name, expected):
    torch.testing.assert_close(scale.get(name)(WEIGHT), torch.tensor(expected))


@pytest.mark.parametrize("name", scale.NAMES)
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 5, 2), (4, 1, 1, 1)])
def test_it_broadcasts_is_positive_and_is_detached(name, shape):
    weight = torch.randn(shape, requires_grad=True)
    s = scale.get(name)(weight)
    assert s.ndim == weight.ndim
    assert torch.broadcast_shapes(s.shape, weight.shape) == weight.shape
    assert (s > 0).all()
    assert not s.requires_grad


@pytest.mark.parametrize(
    ("name", "hint"),
    [("chanel", 'did you mean "channel"?'), ("xyz", "the scales are channel, layer, none")],
)
def test_an_unknown_name(name, hint):
    with pytest.raises(BinarizeError) as caught:
        scale.get(name)
    assert caught.value.message == f'there is no scale "{name}"'
    assert caught.value.hint == hint
