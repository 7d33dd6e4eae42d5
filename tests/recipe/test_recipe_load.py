from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from binarize.errors import RecipeError
from binarize.recipe import dump, load, shipped, shipped_path

BODY = "data: digits\nstages:\n  - epochs: 2\n    optimizer: {lr: 0.1}\n"


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refusal(contents: object, *overrides: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        load(contents, overrides)
    return caught.value


def test_precedence_is_default_then_base_then_file_then_flag() -> None:
    write("base.yaml", "seed: 1\ndata: {name: digits, workers: 1, batch_size: 8}\n" + BODY[13:])
    write("mine.yaml", "extends: base.yaml\nseed: 2\ndata: {workers: 3}\n")
    recipe = load("mine.yaml", ["seed=5"])
    assert recipe.seed == 5  # flag over file over base
    assert recipe.data.workers == 3  # file over base
    assert recipe.data.batch_size == 8  # base over default
    assert recipe.data.cache is False  # default
    assert load("mine.yaml").seed == 2


def test_extends_is_relative_to_its_file_and_goes_on() -> None:
    write("a/lowest.yml", "seed: 7\n" + BODY)
    write("a/middle.yaml", "extends: lowest.yml\ntwin: true\n")
    write("b/top.yaml", "extends: ../a/middle.yaml\n")
    recipe = load(Path("b/top.yaml"))
    assert (recipe.seed, recipe.twin) == (7, True)


def test_extends_takes_a_shipped_name() -> None:
    write("mine.yaml", "extends: digits\nseed: 9\n")
    assert load("mine.yaml") == load("digits", ["seed=9"])


def test_a_circle_of_extends_is_named() -> None:
    write("a.yaml", "extends: b.yaml\n")
    write("b.yaml", "seed: 1\nextends: a.yaml\n")
    error = refusal("a.yaml")
    assert error.message == (
        "b.yaml:2: recipes extend each other in a circle: a.yaml extends b.yaml extends a.yaml"
    )
    write("self.yaml", "extends: self.yaml\n")
    assert "self.yaml extends self.yaml" in refusal("self.yaml").message


def test_a_base_that_is_not_there() -> None:
    write("mine.yaml", "seed: 1\nextends: digit\n")
    error = refusal("mine.yaml")
    assert error.message == 'mine.yaml:2: extends: there is no recipe "digit"'
    assert error.hint == 'did you mean "digits"?'
    write("mine.yaml", "extends: gone.yaml\n")
    assert (
        'mine.yaml:1: extends: there is no recipe file "gone.yaml"' in refusal("mine.yaml").message
    )
    write("mine.yaml", "extends: bad.yaml\n")
    write("bad.yaml", "a: [\n")
    assert refusal("mine.yaml").message.startswith("mine.yaml:1: extends: bad.yaml:2: this is not")

    write("list.yaml", "[1]\n")
    write("mine.yaml", "extends: list.yaml\n")
    assert '1: extends: recipe "list.yaml" is not a mapping' in refusal("mine.yaml").message

    os.mkfifo("pipe.yaml")
    write("notes.txt", BODY)
    write("mine.yaml", "extends: ./notes.txt\n")
    assert refusal("mine.yaml").message == 'mine.yaml:1: extends: "notes.txt" is not a .yaml file'
    write("mine.yaml", "extends: pipe.yaml\n")
    assert '1: extends: "pipe.yaml" is not an ordinary' in refusal("mine.yaml").message

    write("mine.yaml", "extends: [a, b]\n" + BODY)
    assert "mine.yaml:1: extends should be one recipe" in refusal("mine.yaml").message


def test_all_errors_come_at_once_with_file_and_line() -> None:
    write("base.yaml", "sed: 1\n" + BODY)
    write(
        "mine.yaml",
        "extends: base.yaml\n"
        "engine: {precison: bf16}\n"
        "stages:\n"
        "  - epochs: 2\n"
        "    steps: 3\n"
        "    optimizer: {lr: fast}\n"
        "    optimizer: {lr: fast}\n",
    )
    error = refusal("mine.yaml", "stages.0.epoch=3", "data.workers=-1")
    assert error.message.splitlines() == [
        'recipe "mine.yaml" has 7 errors:',
        "  --set data.workers=-1: data.workers should be greater than or equal to 0, not -1",
        '  --set stages.0.epoch=3: there is no key "epoch" in stages.0; did you mean "epochs"?',
        '  base.yaml:1: there is no key "sed"; did you mean "seed"?',
        '  mine.yaml:2: there is no key "precison" in engine; did you mean "precision"?',
        "  mine.yaml:5: stages.0.steps: a stage lasts for exactly one of epochs and steps; "
        "this one has both",
        "  mine.yaml:7: stages.0.optimizer is written twice",
        '  mine.yaml:7: stages.0.optimizer.lr should be a number, not "fast"',
    ]
    assert error.hint


def test_a_check_is_reported_with_its_place() -> None:
    write("mine.yaml", "seed: 3\n" + BODY)
    with pytest.raises(RecipeError, match=r"mine.yaml:1: seed: is unlucky"):
        load("mine.yaml", check=lambda recipe: [(("seed",), "is unlucky")])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("- a\n- b\n", "is not a mapping of keys"),
        ("just words\n", "is not a mapping of keys"),
    ],
)
@pytest.mark.parametrize("name", ["mine.yaml", "base.yaml"])
def test_a_file_without_keys(text: str, words: str, name: str) -> None:
    write("mine.yaml", "extends: base.yaml\n")
    write(name, text)
    where = "mine.yaml:1: extends: " if name == "base.yaml" else ""
    assert refusal("mine.yaml").message == f'{where}recipe "{name}" {words}'


def test_a_truncated_recipe_is_a_recipe_or_a_recipe_error() -> None:
    text = shipped_path("imagenet-resnet18").read_text()
    messages = []
    for end in range(0, len(text), 7):
        write("cut.yaml", text[:end])
        try:
            load("cut.yaml")
        except RecipeError as error:
            messages.append(error.message)
    assert len(messages) > len(text) // 10
    assert all("cut.yaml" in message for message in messages)


def test_names_and_files_are_told_apart() -> None:
    assert refusal("digit").hint == 'did you mean "digits"?'
    assert all(name in refusal("zzz").hint for name in shipped())
    assert refusal("gone.yaml").message == 'there is no recipe file "gone.yaml"'
    assert refusal("a/b").message == 'there is no recipe file "a/b"'
    write("mine.yaml", BODY)
    assert refusal("mine").hint == 'did you mean "mine.yaml"?'
    Path("runs/one").mkdir(parents=True)
    assert refusal("runs/one").message == 'recipe "runs/one" is a directory'
    assert refusal("runs").message == 'recipe "runs" is a directory'
    Path("digits").mkdir()
    assert load("digits").data.name == "digits"  # a shipped name is never mistaken for a directory


def test_a_mapping_is_a_recipe_and_stays_as_it_was() -> None:
    contents = {"data": {"name": "digits"}, "stages": [{"epochs": 1, "optimizer": {"lr": 0.1}}]}
    recipe = load(contents, ["data.workers=0", "stages.0.epochs=4"])
    assert (recipe.data.workers, recipe.stages[0].epochs) == (0, 4)
    assert contents["data"] == {"name": "digits"}
    assert contents["stages"] == [{"epochs": 1, "optimizer": {"lr": 0.1}}]


def test_the_resolved_recipe_is_whole_and_can_be_run_again() -> None:
    write("base.yaml", BODY)
    write("mine.yaml", "extends: base.yaml\ndescription: 'no'\nmodel: resnet18\n")
    recipe = load(
        "mine.yaml",
        [
            "stages.0.epochs=null",
            "stages.0.steps=7",
            "model.kwargs={drop: null}",
            "binarize.estimator={a_end: 0.5, clip: null}",
        ],
    )
    text = dump(recipe)
    again = load(write("elsewhere/resolved.yaml", text))
    assert again == recipe
    assert dump(again) == text
    assert "extends" not in text
    assert "batch_size: 128" in text
    assert again.binarize is not None
    assert again.binarize.estimator.constants == {"a_end": 0.5, "clip": None}


@pytest.mark.parametrize(
    "override",
    [
        f"stages.{'1' * 5000}.epochs=1",
        f"model.kwargs.{'a.' * 3000}b=1",
        f"{'x' * 100_000}=1",
        f"seed={'x' * 100_000}",
        f"seed={'[' * 5000}",
        f"seed={'9' * 5000}",
    ],
    ids=["index", "path", "key", "value", "nested", "number"],
)
def test_a_flag_of_any_length_is_refused_in_a_few_words(override: str) -> None:
    error = refusal("digits", override)
    assert error.message.splitlines()[1].startswith(f"  --set {override[:7]}")
    assert len(error.message) < 600


@pytest.mark.parametrize(
    "name", ["~nobody_here/x.yaml", "x" * 5000, f"{'x' * 5000}.yaml", "a\0.yaml", "\udcff.yaml"]
)
def test_a_name_that_no_file_can_have(name: str) -> None:
    assert len(refusal(name).message) < 200
    write("mine.yaml", f"extends: {json.dumps(name)}\n")
    assert refusal("mine.yaml").message.startswith("mine.yaml:1: extends: ")


def test_of_many_errors_the_first_ten_are_said() -> None:
    wrong = ", ".join(f"{{epochs: wrong{number}}}" for number in range(3000))
    write("mine.yaml", f"data: digits\nstages: [{wrong}]\nlast: 1\n")
    first, *lines, rest = refusal("mine.yaml").message.splitlines()
    assert '"mine.yaml" has' in first
    assert len(lines) == 10
    assert "wrong0" in lines[0] + lines[1]
    assert int(first.split()[-2]) == 10 + int(rest.split()[1])


def test_a_key_with_a_line_break_makes_no_line_of_its_own() -> None:
    write("mine.yaml", BODY + '"x\\n  mine.yaml:1: seed": 1\n')
    assert len(refusal("mine.yaml").message.splitlines()) == 2


def test_a_mapping_that_is_too_deep_or_endless() -> None:
    deep: dict[str, object] = {}
    for _ in range(5000):
        deep = {"a": deep}
    endless: list[object] = []
    endless.append(endless)
    for value in (deep, endless):
        assert "nested too deeply" in refusal({"model": {"kwargs": value}}).message


def test_a_long_chain_of_recipes() -> None:
    for number in range(100):
        write(f"{number}.yaml", f"extends: {number + 1}.yaml\n")
    write("100.yaml", BODY)
    assert "too many recipes" in refusal("0.yaml").message
    assert load("90.yaml").data.name == "digits"


def test_recipes_are_read_without_torch() -> None:
    code = "import sys, binarize.recipe as r; r.load('digits'); r.reference_markdown(); "
    code += "print([m for m in ('torch', 'timm', 'onnx', 'numpy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
