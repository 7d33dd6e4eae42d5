"""How long, how deep and how many: recipes at their limits and just beyond."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from binarize.errors import RecipeError
from binarize.recipe import Recipe, dump, load
from binarize.recipe.document import shortened

BODY = "data: digits\nstages:\n  - epochs: 2\n    optimizer: {lr: 0.1}\n"


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(name: str, text: str) -> Path:
    Path(name).write_text(text)
    return Path(name)


def refusal(name: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load(name)
    return caught.value.message


@pytest.mark.parametrize(("depth", "is_read"), [(29, True), (30, False)])
@pytest.mark.parametrize("way", ["mapping", "file", "flag"])
def test_a_mapping_a_file_and_a_flag_may_be_as_deep(way: str, depth: int, is_read: bool) -> None:
    value = "1"
    for _ in range(depth):
        value = f"{{a: {value}}}"
    body, kwargs = yaml.safe_load(BODY), yaml.safe_load(value)
    ways: dict[str, Callable[[], Any]] = {
        "mapping": lambda: load({**body, "model": {"name": "x", "kwargs": {"b": kwargs}}}),
        "file": lambda: load(
            written("x.yaml", f"{BODY}model: {{name: x, kwargs: {{b: {value}}}}}")
        ),
        "flag": lambda: load({**body, "model": "x"}, [f"model.kwargs.b{'.a' * depth}=1"]),
    }
    if is_read:
        assert ways[way]().model.kwargs == {"b": kwargs}
    else:
        with pytest.raises(RecipeError, match="nested too deeply"):
            ways[way]()


def test_33_recipes_may_extend_each_other() -> None:
    for number in range(33):
        written(f"{number}.yaml", f"extends: {number + 1}.yaml\n")
    written("33.yaml", BODY)
    assert load("1.yaml").data.name == "digits"
    assert "too many recipes extend each other" in refusal("0.yaml")


def test_of_ten_errors_all_are_said_and_more_are_counted() -> None:
    written("x.yaml", BODY + "".join(f"k{number}: 1\n" for number in range(10)))
    first, *lines = refusal("x.yaml").splitlines()
    assert first.endswith("has 10 errors:")
    assert len(lines) == 10
    assert not any("more" in line for line in lines)
    written("x.yaml", BODY + "".join(f"k{number}: 1\n" for number in range(12)))
    first, *lines = refusal("x.yaml").splitlines()
    assert first.endswith("has 12 errors:")
    assert (len(lines), lines[10]) == (11, "  and 2 more")


def test_a_key_like_no_other_is_told_which_there_are() -> None:
    written("x.yaml", BODY + "engine: {qqqqqq: 1}\n")
    words = 'there is no key "qqqqqq" in engine; the keys are precision, accumulate, '
    assert words in refusal("x.yaml")


def test_long_text_loses_its_middle() -> None:
    assert shortened("x" * 80) == "x" * 80
    assert shortened("a" * 60 + "b" * 21) == "a" * 59 + "…" + "b" * 20
    assert shortened("abcdefghi", 8) == "abcde…hi"


def test_keys_are_written_in_the_order_of_the_schema() -> None:
    keys = list(yaml.safe_load(dump(load(written("x.yaml", f"{BODY}model: x\n")))))
    assert keys == [key for key in Recipe.model_fields if key != "binarize"]
