"""Creation, descriptions that build the same module again, and arguments that do not fit."""

from __future__ import annotations

import json
import warnings

import pytest
import torch

from binarize import models
from binarize.errors import ModelError
from binarize.run import ModelSpec


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("resnet18", {"num_classes": 10, "img_size": 64}, 64),
        ("cifar_resnet20", {}, 32),
        ("test_vit", {"num_classes": 3, "img_size": 96}, 96),
        ("resnet10t", {"num_classes": 3, "drop_rate": 0.1}, 64),
        ("torchvision/shufflenet_v2_x0_5", {"num_classes": 10}, 64),
        ("torchvision/mobilenet_v3_small", {"num_classes": 10, "width_mult": 0.5}, 64),
    ],
)
def test_description_builds_the_same_module(name: str, options: dict, size: int) -> None:
    fetched = models.fetch(name, pretrained=False, **options)
    again = models.create(ModelSpec.from_json(json.dumps(fetched.spec.to_json())))
    again.load_state_dict(fetched.model.state_dict())
    images = torch.randn(1, 3, size, size)
    with torch.no_grad():
        assert torch.equal(again.eval()(images), fetched.model.eval()(images))
    assert fetched.weights == "random"
    assert set(fetched.spec.to_json()) == {"name", "library", "library_version", "kwargs"}
    assert models.num_classes(again) == options.get("num_classes", models.num_classes(again))


def test_image_size_is_an_argument_only_where_the_network_is_tied_to_one() -> None:
    assert models.describe("resnet18", img_size=64).kwargs == {}
    assert models.describe("vit_tiny_patch16_224", img_size=64).kwargs == {"img_size": 64}
    assert models.describe("vit_tiny_patch16_224", img_size=(32, 64)).kwargs == {
        "img_size": [32, 64]
    }
    assert models.describe("swin_tiny_patch4_window7_224").kwargs == {}
    assert models.describe("torchvision/vit_b_16", img_size=64).kwargs == {"image_size": 64}
    assert models.describe("torchvision/resnet18", img_size=64).kwargs == {}


@pytest.mark.parametrize("name", ["torchvision/inception_v3", "torchvision/googlenet"])
def test_inceptions_have_one_output_in_training(name: str) -> None:
    with torch.device("meta"):
        model = models.create(name, num_classes=3)
        assert isinstance(model(torch.empty(2, 3, 96, 96)), torch.Tensor)
    assert model.transform_input  # as with pretrained weights


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        ("resnet18", {"wings": 2}, "wings"),
        ("torchvision/resnet18", {"wings": 2}, "wings"),
        ("torchvision/vit_b_16", {"img_size": 40}, "image_size=40"),
        ("torchvision/vit_b_16", {"img_size": (32, 64)}, "takes square images, not 32x64"),
    ],
)
def test_arguments_that_do_not_fit(name: str, options: dict, part: str) -> None:
    with pytest.raises(ModelError, match=part) as caught:
        models.create(name, **options)
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_an_argument_that_no_run_can_keep() -> None:
    with pytest.raises(ModelError, match="cannot be written into a run"):
        models.describe("resnet18", act_layer=torch.nn.ReLU)


def test_creation_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models.create("torchvision/googlenet", num_classes=3)
        models.create("resnet18")
    assert capfd.readouterr() == ("", "")
