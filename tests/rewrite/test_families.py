"""Ten families of networks behave after conversion as they did before."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from binarize import models
from binarize.layers import binarization_off, binary_weights
from binarize.rewrite import Options, SourceOptions, convert_float, open_float

FAMILIES = {
    "cifar_resnet20": 32,
    "resnet18": 32,
    "regnetx_002": 32,
    "mobilenetv3_small_050": 32,
    "efficientnet_b0": 32,
    "convnext_atto": 32,
    "mobilevitv2_050": 64,
    "deit_tiny_distilled_patch16_224": 32,
    "beit_base_patch16_224": 32,
    "torchvision/swin_t": 32,
}
SMALLER = {"beit_base_patch16_224": {"depth": 2, "embed_dim": 48, "num_heads": 4}}


@dataclass(frozen=True)
class Pair:
    """A float model, what it was converted to, and the size of their images."""

    before: nn.Module
    after: nn.Module
    size: int

    @property
    def images(self) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(2, 3, self.size, self.size, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest) -> Pair:
    torch.manual_seed(0)
    name, size = request.param, FAMILIES[request.param]
    float_model = open_float(
        name, SourceOptions(pretrained=False, img_size=size, kwargs=SMALLER.get(name, {}))
    )
    before = copy.deepcopy(float_model.model)
    after = convert_float(float_model, Options(stem="keep"), values=False).conversion.model
    return Pair(before.double().eval(), after.double().eval(), size)


def test_class_and_description_stay(pair: Pair) -> None:
    assert type(pair.after) is type(pair.before)
    assert isinstance(pair.after, type(pair.before))
    for name in ("pretrained_cfg", "default_cfg", "num_classes", "num_features", "feature_info"):
        assert getattr(pair.after, name, None) == getattr(pair.before, name, None)
    assert models.num_classes(pair.after) == models.num_classes(pair.before)
    for old, new in zip(_float_modules(pair.before), _float_modules(pair.after), strict=True):
        assert isinstance(new, type(old))


def test_a_float_checkpoint_loads_strictly(pair: Pair) -> None:
    state = {key: value + 1 for key, value in pair.before.state_dict().items()}
    model = copy.deepcopy(pair.after)
    assert list(model.state_dict()) == list(state)
    model.load_state_dict(state, strict=True)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_switched_off_every_output_is_the_float_models(pair: Pair) -> None:
    pair.after.load_state_dict(pair.before.state_dict())
    with torch.no_grad():
        assert not torch.allclose(pair.after(pair.images), pair.before(pair.images))
        with binarization_off(pair.after):
            for call in _forwards(pair.before):
                expected, given = call(pair.before)(pair.images), call(pair.after)(pair.images)
                tolerance = 1e-10 * float(expected.abs().max())
                torch.testing.assert_close(given, expected, rtol=0, atol=tolerance)


def test_the_classifier_is_found_and_reset(pair: Pair) -> None:
    assert not any(
        name in _classifier_names(pair.before) for name, *_ in binary_weights(pair.after)
    )
    model = copy.deepcopy(pair.after)
    models.reset_classifier(model, 7)
    model.double().eval()
    assert models.num_classes(model) == 7
    assert len(list(binary_weights(model))) == len(list(binary_weights(pair.after)))
    with torch.no_grad():
        assert model(pair.images).shape == (2, 7)


def test_train_and_eval_reach_every_module(pair: Pair) -> None:
    model = copy.deepcopy(pair.after)
    assert model.train() is model
    assert all(module.training for module in model.modules())
    model.eval()
    assert not any(module.training for module in model.modules())


def _float_modules(model: nn.Module) -> list[nn.Module]:
    """The modules that conversion did not add."""
    added = {id(part) for *_, binarizer in binary_weights(model) for part in binarizer.modules()}
    return [module for module in model.modules() if id(module) not in added]


def _forwards(model: nn.Module) -> list[Callable[[nn.Module], Callable[[Tensor], Tensor]]]:
    calls = [lambda m: m]
    if hasattr(model, "forward_features"):
        calls.append(lambda m: m.forward_features)
    return calls


def _classifier_names(model: nn.Module) -> set[str]:
    if not hasattr(model, "get_classifier"):
        return set()
    heads = model.get_classifier()
    heads = heads if isinstance(heads, tuple) else (heads,)
    return {name for name, module in model.named_modules() if any(module is h for h in heads)}
