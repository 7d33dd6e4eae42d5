"""What a file says about itself survives the way through its properties, and names no directory."""

from __future__ import annotations

import json

import pytest
import yaml

from binarize.runtime import FileInfo

INFO = FileInfo.from_data(
    {
        "format": 2,
        "form": "packed",
        "parity": "exact",
        "model": {
            "name": "resnet18",
            "library": "timm",
            "library_version": "1.0",
            "kwargs": {"depth": 3},
        },
        "weights": "random",
        "preprocess": {
            "img_size": 32,
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
            "interpolation": "bilinear",
            "crop_pct": 0.875,
        },
        "data": {"name": "folder", "dir": "images/of mine"},
        "classes": ["größer", "kleiner"],
        "conversion": {
            "estimator": {"name": "ab-tanh", "a_end": 0.7},
            "scale": "channel",
            "standardise": True,
            "keep": ["layer1.*"],
        },
        "recipe": "description: a test\ndata:\n  dir: images\n",
        "versions": {"torch": "2.8"},
    }
)


def test_properties_are_json_under_our_prefix() -> None:
    properties = INFO.to_properties()
    unless_false = {"binarize.with_preprocess"}
    assert set(properties) == {f"binarize.{one}" for one in FileInfo.model_fields} - unless_false
    assert (
        INFO.replace(with_preprocess=True).to_properties().keys() - properties.keys()
        == unless_false
    )
    assert json.loads(properties["binarize.classes"]) == ["größer", "kleiner"]


def test_there_and_back_again() -> None:
    again = FileInfo.from_properties(INFO.to_properties())
    assert yaml.safe_load(again.recipe) == yaml.safe_load(INFO.recipe)
    assert again.replace(recipe="") == INFO.replace(recipe="")


@pytest.mark.parametrize("root", ["/home/anna/", "C:\\Users\\anna\\"])
def test_absolute_paths_are_cut_down_to_their_last_part(root: str) -> None:
    recipe = {
        "data": {"dir": f"{root}flowers"},
        "model": {"name": "x", "checkpoint": f"{root}x.pth"},
        "stages": [{"epochs": 1, "distill": {"teacher": f"{root}teacher"}}, {"epochs": 1}],
    }
    info = INFO.replace(
        data={"name": "folder", "dir": f"{root}flowers"}, recipe=yaml.safe_dump(recipe)
    )
    again = FileInfo.from_properties(info.to_properties())
    assert "anna" not in json.dumps(again.to_json())
    assert again.data.dir == "flowers"
    written = yaml.safe_load(again.recipe)
    assert written["data"]["dir"] == "flowers"
    assert written["model"]["checkpoint"] == "x.pth"
    assert [stage.get("distill") for stage in written["stages"]] == [{"teacher": "teacher"}, None]


@pytest.mark.parametrize("name", ["/m/01g317", "C:\\m", "//server/m", "a/b"])
def test_what_looks_like_a_path_and_is_none_stays(name: str) -> None:
    """Classes of Open Images are called /m/01g317."""
    recipe = yaml.safe_dump({"description": name, "data": {"classes": [name]}})
    info = INFO.replace(
        classes=[name, "other"],
        model=INFO.model.replace(kwargs={"act_layer": name}),
        recipe=recipe,
    )
    again = FileInfo.from_properties(info.to_properties())
    assert again.classes == [name, "other"]
    assert again.model.kwargs == {"act_layer": name}
    assert yaml.safe_load(again.recipe) == yaml.safe_load(recipe)


def test_properties_of_others_and_of_later_versions_are_left_alone() -> None:
    more = {**INFO.to_properties(), "author": "me", "binarize.colour": '"red"'}
    assert FileInfo.from_properties(more).form == "packed"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"binarize.format": "3"}, "format 3; this version reads 1 to 2"),
        ({"binarize.format": None}, "format None; this version reads 1 to 2"),
        ({"binarize.form": None}, "form: is missing"),
        ({"binarize.form": '"zzz"'}, "form: "),
        ({"binarize.classes": "[half a list"}, "classes: is damaged"),
        ({"binarize.classes": "[" * 100_000}, "classes: is damaged"),
        ({"binarize.model": "{}"}, "model.name: is missing"),
        ({"binarize.data": "null"}, "data: "),
    ],
)
def test_what_does_not_describe_a_file_is_refused(
    changes: dict[str, str | None], words: str
) -> None:
    properties = {**INFO.to_properties(), **changes}
    with pytest.raises(ValueError, match=words):
        FileInfo.from_properties({k: v for k, v in properties.items() if v is not None})
