"""Names to libraries, listings, and what the libraries say of their images."""

from __future__ import annotations

import json

import pytest
import timm

from binarize import models
from binarize.errors import ModelError
from binarize.run import Preprocess


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", ("timm", "resnet18")),
        ("timm/resnet18", ("timm", "resnet18")),
        ("torchvision/resnet18", ("torchvision", "resnet18")),
        ("resnet18.a1_in1k", ("timm", "resnet18.a1_in1k")),
        ("googlenet", ("torchvision", "googlenet")),  # timm has none of that name
        ("cifar_resnet20", ("timm", "cifar_resnet20")),
    ],
)
def test_parse(name: str, expected: tuple[str, str]) -> None:
    assert models.parse(name) == expected


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("resnet_18", "resnet18"),
        ("timm/resnt50", "timm/resnet50"),
        ("torchvision/resnet19", "torchvision/resnet1"),
        ("cifar_resnet2", "cifar_resnet20"),
        ("resnet18.a1_in1", "resnet18.a1_in1k"),
    ],
)
def test_unknown_name_offers_a_near_one(name: str, meant: str) -> None:
    with pytest.raises(ModelError) as caught:
        models.parse(name)
    assert caught.value.message == f'there is no model "{name}"'
    assert meant in caught.value.hint


@pytest.mark.parametrize(
    "name",
    ["zzzzqqqq", "nowhere/resnet18x", "", "timm/", "../resnet18", "tv_resnet50", "resnet18."],
)
def test_no_such_model(name: str) -> None:
    with pytest.raises(ModelError, match="there is no model"):
        models.parse(name)


def test_list_takes_parts_and_globs() -> None:
    everything = [listing.name for listing in models.list_models()]
    resnets = [f"cifar_resnet{layers}" for layers in (20, 32, 44, 56, 110, 18)]
    assert everything[:7] == [*resnets, "cifar_vgg_small"]
    assert len(everything) == len(set(everything)) > 1000
    assert "torchvision/vgg11" in everything
    names = [listing.name for listing in models.list_models("*resnet18")]
    assert {"resnet18", "cifar_resnet18", "torchvision/resnet18"} <= set(names)
    assert "resnet18d" not in names
    assert "resnet18d" in [listing.name for listing in models.list_models("resnet18")]
    assert models.list_models("no such thing") == []


def test_what_is_listed_can_be_parsed() -> None:
    for listing in models.list_models()[::50]:
        assert models.parse(listing.name)[0] == listing.library


def test_has_pretrained() -> None:
    assert models.has_pretrained("resnet18")
    assert models.has_pretrained("torchvision/resnet18")
    assert not models.has_pretrained("cifar_resnet20")


@pytest.mark.parametrize("name", ["resnet18", "torchvision/resnet50", "cifar_resnet20"])
def test_default_preprocess_can_be_written_as_json(name: str) -> None:
    preprocess = models.default_preprocess(name)
    assert set(preprocess.to_json()) == {"img_size", "mean", "std", "interpolation", "crop_pct"}
    assert Preprocess.from_json(json.dumps(preprocess.to_json())) == preprocess


def test_default_preprocess_is_the_librarys() -> None:
    ours = models.default_preprocess("resnet18")
    theirs = timm.data.resolve_data_config(model=timm.create_model("resnet18"))
    assert ours.mean == list(theirs["mean"])
    assert ours.crop_pct == theirs["crop_pct"]
    assert ours.img_size == 224
    assert models.default_preprocess("torchvision/vgg11").crop_pct == 224 / 256
    portrait = models.default_preprocess("vit_base_patch16_sapiens2")
    assert portrait.sides == (1024, 768)
