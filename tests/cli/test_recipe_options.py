"""Calls that other training programs taught: the error names the right one."""

from __future__ import annotations

import pytest
from typed import run

from binarize.cli import recipe_options
from binarize.recipe import as_data, load


def hint(capsys, *arguments):
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    error, hint = err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    return hint


@pytest.mark.parametrize("key", recipe_options.KEYS.values())
def test_every_key_is_one_of_recipes(key):
    place = as_data(load("cifar10-resnet20"))
    for name in key.split("."):
        place = place[int(name) if name.isdigit() else name]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "--epochs=3"], "--set stages.0.epochs=3"),
        (["train", "--momentum", "0.1", "--recipe", "digits"], "stages.0.optimizer.momentum=0.1"),
        (["compare", "--batch_size", "8"], "--set data.batch_size=8"),
        (["train", "--twin", "--recipe", "digits"], "--set twin=VALUE"),
        (["compare", "--recipe", "digits", "--epochs", "3"], "--set stages.0.epochs=3"),
        (["train", "--nonsense", "3"], "binarize train --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_that_is_a_key_of_the_recipe(arguments, words, capsys, folder):
    assert hint(capsys, *arguments).endswith(words)


@pytest.mark.parametrize("command", ["train", "compare"])
@pytest.mark.parametrize("name", ["mine.yaml", "mine.yml", "digits"])
def test_a_recipe_in_the_place_of_a_run(command, name, capsys, folder):
    assert hint(capsys, command, name) == f"hint: binarize {command} --recipe {name}"
