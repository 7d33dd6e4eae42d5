from __future__ import annotations

import pytest

from binarize.recipe.document import Document, parse
from binarize.recipe.merge import assign, merge

BASE = """
seed: 1
model: resnet18
data: {name: digits, augment: {hflip: 0.5, crop_padding: 4}}
stages:
  - {epochs: 1, optimizer: {lr: 0.1}}
  - {epochs: 2, optimizer: sgd}
"""


def merged(top: str, base: str = BASE) -> Document:
    return merge(parse(base, "base.yaml"), parse(top, "top.yaml"))


def assigned(*overrides: str) -> Document:
    document = parse(BASE, "base.yaml")
    for override in overrides:
        assign(document, override)
    return document


def problems(document: Document) -> list[str]:
    return [f"{location}: {what}" for location, what in document.problems]


def test_mappings_merge_deep_and_the_top_wins() -> None:
    data = merged("seed: 2\ndata: {augment: {hflip: 0.0}}\n").data
    assert data["seed"] == 2
    assert data["data"] == {"name": "digits", "augment": {"hflip": 0.0, "crop_padding": 4}}


def test_lists_and_null_replace() -> None:
    data = merged("stages: [{steps: 5}]\nmodel: null\n").data
    assert data["stages"] == [{"steps": 5}]
    assert data["model"] is None


def test_a_mapping_over_a_bare_name_keeps_the_name() -> None:
    assert merged("model: {num_classes: 3}\n").data["model"] == {
        "name": "resnet18",
        "num_classes": 3,
    }


def test_a_bare_name_over_a_mapping_replaces_it() -> None:
    assert merged("data: cifar10\n").data["data"] == "cifar10"


def test_only_sections_with_names_have_short_forms() -> None:
    base = "model: {name: m, kwargs: {data: a}}\n"
    top = "model: {kwargs: {data: {b: 1}}}\n"
    assert merged(top, base).data["model"]["kwargs"] == {"data": {"b": 1}}


def test_each_value_keeps_the_place_it_was_written_at() -> None:
    document = merged("seed: 2\ndata:\n  augment: {vflip: 0.1}\nstages: [{steps: 5}]\n")
    assert str(document.location(("seed",))) == "top.yaml:1"
    assert str(document.location(("data", "augment", "vflip"))) == "top.yaml:3"
    assert str(document.location(("data", "augment", "hflip"))) == "base.yaml:4"
    assert str(document.location(("stages", 0, "optimizer"))) == "top.yaml:4"


def test_overrides_reach_keys_lists_and_short_forms() -> None:
    document = assigned(
        "seed=3",
        "stages.1.epochs=5",
        "stages.1.optimizer.lr=1e-2",
        "data.mean=[0.1, 0.2, 0.3]",
        "engine.precision=bf16",
        "data.augment={vflip: 0.5}",
        "model.kwargs.drop_rate=0.1",
    )
    data = document.data
    assert not document.problems
    assert data["seed"] == 3
    assert data["stages"][1] == {"epochs": 5, "optimizer": {"name": "sgd", "lr": 0.01}}
    assert data["data"]["mean"] == [0.1, 0.2, 0.3]
    assert data["engine"] == {"precision": "bf16"}
    assert data["data"]["augment"] == {"hflip": 0.5, "crop_padding": 4, "vflip": 0.5}
    assert data["model"] == {"name": "resnet18", "kwargs": {"drop_rate": 0.1}}
    assert str(document.location(("stages", 1, "optimizer", "lr"))) == (
        "--set stages.1.optimizer.lr=1e-2"
    )
    assert str(document.location(("stages", 0, "epochs"))) == "base.yaml:6"


def test_the_last_override_wins() -> None:
    assert assigned("seed=3", "seed=4").data["seed"] == 4


@pytest.mark.parametrize("text", ["seed", "=3", "a..b=1", ".seed=1", ""])
def test_an_override_that_is_no_assignment(text: str) -> None:
    assert problems(assigned(text)) == [f"--set {text}: write it as key=value, such as seed=1"]


@pytest.mark.parametrize("index", ["2", "-1", "first", "0x0"])
def test_an_index_that_the_list_does_not_have(index: str) -> None:
    (problem,) = problems(assigned(f"stages.{index}.epochs=3"))
    assert problem.endswith(f'stages is a list with the index 0 to 1, not "{index}"')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data.mean=[1", "not valid YAML"),
        ("seed=!!int 3", "a tag"),
        ("data={name: a, name: b}", "name is written twice"),
    ],
)
def test_a_value_that_is_no_plain_yaml(text: str, words: str) -> None:
    (problem,) = problems(assigned(text))
    assert problem.startswith(f"--set {text}: ")
    assert words in problem
    assert problem.count("--set") == 1
