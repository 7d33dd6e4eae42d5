"""What a file says about itself survives the way through its properties, and names no directory."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace

import pytest
import yaml

from binarize.runtime import FileInfo

INFO = FileInfo(
    form="packed",
    parity="exact",
    model={"name": "resnet18", "library": "timm", "library_version": "1.0", "kwargs": {"depth": 3}},
    weights="random",
    preprocess={"img_size": 32, "mean": [0.5] * 3, "std": [0.25] * 3, "crop_pct": 0.875},
    data={"name": "folder", "dir": "images/of mine"},
    classes=["größer", "kleiner"],
    conversion={"estimator": "ab-tanh", "keep": ["layer1.*"]},
    recipe="description: a test\ndata:\n  dir: images\n",
    versions={"torch": "2.8"},
)


def test_properties_are_json_under_our_prefix() -> None:
    properties = INFO.to_properties()
    assert set(properties) == {f"binarize.{one.name}" for one in fields(FileInfo)}
    assert json.loads(properties["binarize.classes"]) == ["größer", "kleiner"]


def test_there_and_back_again() -> None:
    again = FileInfo.from_properties(INFO.to_properties())
    assert yaml.safe_load(again.recipe) == yaml.safe_load(INFO.recipe)
    assert replace(again, recipe="") == replace(INFO, recipe="")


@pytest.mark.parametrize("root", ["/home/anna/", "C:\\Users\\anna\\"])
def test_absolute_paths_are_cut_down_to_their_last_part(root: str) -> None:
    info = replace(
        INFO,
        data={"name": "folder", "dir": f"{root}flowers"},
        model={**INFO.model, "kwargs": {"files": [f"{root}a.bin", 7]}},
        recipe=yaml.safe_dump({"data": {"dir": f"{root}flowers"}, "model": {"name": "x"}}),
    )
    again = FileInfo.from_properties(info.to_properties())
    assert "anna" not in json.dumps(asdict(again))
    assert again.data["dir"] == "flowers"
    assert again.model["kwargs"] == {"files": ["a.bin", 7]}
    assert yaml.safe_load(again.recipe)["data"]["dir"] == "flowers"


def test_properties_of_others_and_of_later_versions_are_left_alone() -> None:
    more = {**INFO.to_properties(), "author": "me", "binarize.colour": '"red"'}
    assert FileInfo.from_properties(more).form == "packed"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"binarize.format": "2"}, "format 2, not 1"),
        ({"binarize.format": None}, "format None, not 1"),
        ({"binarize.form": None}, "form"),
        ({"binarize.classes": "[half a list"}, "char"),
    ],
)
def test_what_is_not_ours_is_refused(changes: dict[str, str | None], words: str) -> None:
    properties = {**INFO.to_properties(), **changes}
    with pytest.raises(ValueError, match=words):
        FileInfo.from_properties({k: v for k, v in properties.items() if v is not None})
