"""The indicators of a training against the same sums written again in numpy."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import train_toys
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import StdConv2d
from torch import Tensor, nn

from binarize import estimators
from binarize.estimators import Estimator
from binarize.layers import WeightBinarizer, binarize_weight, scale, set_progress, switch
from binarize.run.tables import OF_WEIGHTS
from binarize.training.indicators import Indicators


def binary(
    layer: nn.Module, estimator: str | Estimator = "ab-tanh", standardise: bool = True
) -> None:
    if isinstance(estimator, str):
        estimator = estimators.get(estimator)
    binarizer = WeightBinarizer(estimator, scale.get("channel"), standardise)
    binarize_weight(layer, "weight", binarizer)


def pair(estimator: str = "ab-tanh", standardise: bool = True) -> nn.Sequential:
    """Two binary layers, "0" [4, 6] and "1" [3, 4], and a float one."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3), nn.Linear(3, 2))
    for layer in model[:2]:
        binary(layer, estimator, standardise)
    return model


def latent(layer: nn.Module) -> Tensor:
    return layer._parameters["weight"]


def standardised(w: np.ndarray) -> np.ndarray:
    mu, sigma = w.mean(1, keepdims=True), w.std(1, ddof=1, keepdims=True)
    return (w - mu) / (sigma + 1e-8)


def blend(z: np.ndarray, p: float) -> np.ndarray:
    """f of ab-tanh as it stands in the table of the design."""
    a, k = 0.8 * (1 - math.cos(p * math.pi / 2)), 5.0**p
    return (1 - a) * z + a * np.tanh(k * z) / math.tanh(k)


@pytest.mark.parametrize("progress", [0.0, 0.6, 1.0])
def test_estimating_error_is_the_distance_of_f_to_sign(progress: float) -> None:
    model = pair()
    set_progress(model, progress)
    row, layers = Indicators(model).record(model)
    z = [standardised(latent(layer).detach().double().numpy()) for layer in model[:2]]
    errors = [np.linalg.norm(blend(x, progress) - np.where(x >= 0, 1, -1)) for x in z]
    assert [layer["estimating_error"] for layer in layers] == pytest.approx(errors, rel=1e-5)
    assert row["estimating_error"] == pytest.approx(np.mean(errors), rel=1e-5)


def test_gradient_stability_is_the_variance_of_the_gradients_magnitude() -> None:
    model = pair()
    now = Indicators(model)
    model(torch.randn(5, 6)).square().sum().backward()
    grads = [latent(layer).grad.numpy().copy() for layer in model[:2]]
    now.read_gradients(model)
    model.zero_grad()
    row, layers = now.record(model)
    expected = [np.abs(grad).var(ddof=1) for grad in grads]
    assert [layer["gradient_stability"] for layer in layers] == pytest.approx(expected, rel=1e-4)
    assert row["gradient_stability"] == pytest.approx(sum(expected), rel=1e-4)


def test_gradients_belong_to_one_record_and_are_known_before_their_loss_scale() -> None:
    model = pair()
    plain, scaled = Indicators(model), Indicators(model)
    (1024 * model(torch.ones(5, 6)).sum()).backward()
    scaled.read_gradients(model, scale=1024)
    for parameter in model.parameters():
        parameter.grad /= 1024
    plain.read_gradients(model)
    assert scaled.record(model) == plain.record(model)
    assert plain.record(model)[0]["gradient_stability"] is None


def test_gradients_that_overflowed_have_no_stability() -> None:
    model = pair()
    now = Indicators(model)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, math.inf)
    now.read_gradients(model)
    row, layers = now.record(model)
    assert row["gradient_stability"] is None
    assert [layer["gradient_stability"] for layer in layers] == [None, None]


def test_flips_are_counted_since_the_last_record() -> None:
    model = pair(standardise=False)
    now = Indicators(model)
    with torch.no_grad():
        latent(model[0])[0, :3] *= -1
    row, layers = now.record(model)
    assert [layer["flip_ratio"] for layer in layers] == [3 / 24, 0]
    assert row["flip_ratio"] == pytest.approx(3 / 36, rel=1e-5)
    assert now.record(model)[0]["flip_ratio"] == 0


def test_the_sign_that_may_flip_is_that_of_the_standardised_weight() -> None:
    model = pair()
    now = Indicators(model)
    with torch.no_grad():
        latent(model[0]).add_(10)  # the mean takes it away again
    assert now.record(model)[0]["flip_ratio"] == 0


def test_zero_counts_as_positive() -> None:
    model = pair(standardise=False)
    with torch.no_grad():
        latent(model[1]).fill_(1)
    now = Indicators(model)
    with torch.no_grad():
        latent(model[1]).fill_(0)
    assert now.record(model)[0]["flip_ratio"] == 0


def test_dead_weights_are_those_that_no_gradient_passes() -> None:
    model = pair("clipped-ste", standardise=False)
    with torch.no_grad():
        latent(model[0]).fill_(0.5)[1, :6] = -1.01
        latent(model[1]).fill_(1.0)
    row, layers = Indicators(model).record(model)
    assert [layer["dead_weights"] for layer in layers] == [6 / 24, 0]
    assert row["dead_weights"] == pytest.approx(6 / 36, rel=1e-5)


def test_all_bases_of_a_weight_are_counted() -> None:
    model = nn.Sequential(nn.Linear(6, 4))
    binarizer = WeightBinarizer(estimators.get("clipped-ste"), scale.get("channel", 2))
    binarize_weight(model[0], "weight", binarizer)
    w = latent(model[0]).detach()
    now = Indicators(model)

    def bases() -> tuple[list[np.ndarray], np.ndarray]:
        """z and signs of both bases."""
        frozen = binarizer.frozen(w)
        s = frozen.scale.double().numpy()[:, :, None]
        first = w.double().numpy()
        rest = first - s[0] * np.where(first >= 0, 1, -1)
        z = [r / np.sqrt((r**2).sum(1, keepdims=True) / 5) for r in (first, rest)]
        return z, np.stack([np.where(each >= 0, 1, -1) for each in z])

    _, before = bases()
    w[0, :2] *= -1
    w[1] = torch.tensor([3.0, 0.1, 0.2, -0.1, 0.3, -0.2])
    (z, signs), (row, _) = bases(), now.record(model)
    assert row["flip_ratio"] == pytest.approx((signs != before).mean(), rel=1e-5)
    f = np.clip(np.stack(z), -1, 1)
    assert row["estimating_error"] == pytest.approx(np.linalg.norm(f - signs), rel=1e-5)
    dead = [np.abs(each) > 1 for each in z]
    assert row["dead_weights"] == pytest.approx((dead[0] & dead[1]).mean(), rel=1e-5)
    assert 0 < row["dead_weights"] < dead[0].mean()


@dataclass(frozen=True)
class Nameless(Estimator):
    name, source, formula = "nameless", "this test", "1"

    def surrogate_grad(self, x: Tensor, progress: float) -> Tensor:
        return torch.ones_like(x)


def test_an_estimator_without_f_has_no_estimating_error() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    binary(model[0], Nameless())
    alone = Indicators(model).record(model)[0]
    assert alone["estimating_error"] is None
    assert alone["dead_weights"] == 0
    binary(model[1])
    row, layers = Indicators(model).record(model)
    assert layers[0]["estimating_error"] is None
    assert row["estimating_error"] == layers[1]["estimating_error"] > 0


def test_where_weights_are_float_only_the_inputs_have_something_to_tell() -> None:
    model = pair()
    now = Indicators(model)
    switch(model, weights=False, inputs=True)
    model(torch.ones(2, 6)).sum().backward()
    now.read_gradients(model)
    row, layers = now.record(model, {"1": 0.875})
    assert row == dict.fromkeys(OF_WEIGHTS)
    assert layers[0] == {"layer": "0", **dict.fromkeys(OF_WEIGHTS), "saturation": None}
    assert layers[1] == {"layer": "1", **dict.fromkeys(OF_WEIGHTS), "saturation": 0.875}


def test_signs_that_changed_while_weights_were_float_are_no_flips() -> None:
    model = pair(standardise=False)
    now = Indicators(model)
    switch(model, weights=False, inputs=False)
    with torch.no_grad():
        latent(model[0]).neg_()
    now.record(model)
    switch(model, weights=True, inputs=True)
    assert now.record(model)[0]["flip_ratio"] == 0


def test_a_model_without_binary_weights_has_no_indicators() -> None:
    model = train_toys.network(binary=False)
    now = Indicators(model)
    now.read_gradients(model)
    assert now.record(model) == (dict.fromkeys(OF_WEIGHTS), [])


def walk(model: nn.Module, now: Indicators, steps: range) -> list[object]:
    """Random steps, a record after each."""
    records = []
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        records.append(now.record(model))
    return records


def test_made_again_from_the_weights_it_goes_on_as_if_never_interrupted() -> None:
    model = pair()
    whole = walk(copy.deepcopy(model), Indicators(model), range(6))
    begun = walk(model, Indicators(model), range(3))
    assert begun + walk(model, Indicators(copy.deepcopy(model)), range(3, 6)) == whole
    assert whole[4][0]["flip_ratio"] > 0


def test_a_class_that_transforms_its_weight_is_judged_by_what_it_binarizes() -> None:
    model = nn.Sequential(StdConv2d(3, 4, 3))
    binary(model[0], "clipped-ste", standardise=False)
    w = latent(model[0]).detach().double().numpy().reshape(4, -1)
    z = (w - w.mean(1, keepdims=True)) / np.sqrt(w.var(1, keepdims=True) + model[0].eps)
    row = Indicators(model).record(model)[0]
    assert row["dead_weights"] == pytest.approx((np.abs(z) > 1).mean(), rel=1e-5)
    assert row["dead_weights"] > 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 7), st.booleans(), st.sampled_from(["reste", "ste"]))
def test_any_shape(out: int, fan_in: int, standardise: bool, estimator: str) -> None:
    model = nn.Sequential(nn.Linear(fan_in, out))
    binary(model[0], estimator, standardise)
    now = Indicators(model)
    model(torch.ones(2, fan_in)).sum().backward()
    now.read_gradients(model)
    row, (layer,) = now.record(model)
    assert row == {name: layer[name] for name in OF_WEIGHTS}
    assert row["flip_ratio"] == 0
    assert row["gradient_stability"] >= 0
    assert 0 <= row["dead_weights"] <= 1
    assert row["estimating_error"] >= 0


def test_half_precision_weights_are_judged_in_single() -> None:
    model = pair().bfloat16()
    latent(model[0]).grad = torch.linspace(-1, 1, 24, dtype=torch.bfloat16).reshape(4, 6)
    now = Indicators(model)
    now.read_gradients(model)
    expected = latent(model[0]).grad.float().abs().var()
    assert now.record(model)[0]["gradient_stability"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", estimators.TABLE)
def test_every_estimator_has_indicators(name: str) -> None:
    model = pair(name)
    set_progress(model, 0.7)
    row, layers = Indicators(model).record(model)
    assert 0 <= row["dead_weights"] <= 1
    assert row["estimating_error"] is None or row["estimating_error"] > 0
    assert len(layers) == 2
