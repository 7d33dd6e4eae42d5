from __future__ import annotations

import json
from pathlib import Path

import pytest

from binarize.cli import app, recipes
from binarize.recipe import json_schema, load, shipped, shipped_path


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(app.GROUPS, "recipes", recipes)


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = app.main(["recipes", *args])
    return code, *capsys.readouterr()


def test_ls(capsys) -> None:
    code, out, err = run(capsys, "ls", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["name"] for row in rows] == shipped()
    assert set(rows[0]) == {"name", "model", "data", "duration", "twin", "description"}
    assert "digits" in err
    code, out, err = run(capsys, "ls")
    assert (code, err) == (0, "")
    assert "handwritten digits" in out
    assert out.splitlines()[-1] == "next: binarize recipes show digits"


def test_show_prints_the_file_and_nothing_else(capsys) -> None:
    code, out, err = run(capsys, "show", "digits")
    assert (code, out) == (0, shipped_path("digits").read_text())
    assert err == "next: binarize train cifar_resnet20 --recipe digits\n"  # there is no run


def test_show_resolved_is_a_recipe(capsys) -> None:
    _, out, _ = run(capsys, "show", "digits", "--resolved", "--set", "seed=4")
    Path("mine.yaml").write_text(out)
    assert load("mine.yaml") == load("digits", ["seed=4"])
    _, out, _ = run(capsys, "show", "digits", "--json", "--set", "seed=4")
    assert load(json.loads(out)) == load("mine.yaml")


def test_cp(capsys) -> None:
    code, out, _ = run(capsys, "cp", "digits")
    assert (code, out.splitlines()[0]) == (0, "copied digits to digits.yaml")
    assert Path("digits.yaml").read_text() == shipped_path("digits").read_text()
    code, out, _ = run(capsys, "cp", "cifar10-resnet18", "mine.yaml", "--json")
    assert json.loads(out) == {"recipe": "cifar10-resnet18", "file": "mine.yaml"}
    assert load("mine.yaml") == load("cifar10-resnet18")


def test_cp_overwrites_nothing(capsys) -> None:
    Path("digits.yaml").write_text("mine")
    code, out, err = run(capsys, "cp", "digits")
    assert (code, out) == (1, "")
    assert err == (
        'error: "digits.yaml" exists already\nhint: name another file after the recipe\n'
    )
    assert Path("digits.yaml").read_text() == "mine"


def test_cp_of_an_unknown_name(capsys) -> None:
    code, out, err = run(capsys, "cp", "digit")
    assert (code, out) == (1, "")
    assert err == 'error: there is no recipe "digit"\nhint: did you mean "digits"?\n'
    assert not list(Path().iterdir())


def test_validate(capsys) -> None:
    code, out, _ = run(capsys, "validate", *shipped())
    assert code == 0
    assert "digits is valid" in out
    code, out, _ = run(capsys, "validate", "digits", "--json")
    assert (code, json.loads(out)) == (0, [{"recipe": "digits", "valid": True}])


def test_validate_looks_names_up_and_reports_everything_at_once(capsys) -> None:
    Path("mine.yaml").write_text(
        "extends: cifar10-resnet20\n"
        "model: resnt18\n"
        "binarize: {estimator: {name: ab-tanh, a_ende: 1, a_end: 3}}\n"
        "stages: [{epochs: 1, optimizer: {name: sgdd, lr: 1}}]\n"
    )
    Path("other.yaml").write_text("extends: digits\nseed: x\n")
    code, out, err = run(capsys, "validate", "mine.yaml", "other.yaml", "digits")
    assert code == 1
    assert out == "digits is valid\n"
    lines = err.splitlines()
    assert lines[0] == 'error: recipe "mine.yaml" has 4 errors:'
    assert lines[1].startswith('  mine.yaml:2: model.name: there is no model "resnt18"; did you')
    assert 'mine.yaml:3: binarize.estimator.a_ende: estimator "ab-tanh" has no' in lines[2]
    assert "mine.yaml:3: binarize.estimator.a_end: " in lines[3]
    assert 'stages.0.optimizer.name: there is no optimiser "sgdd"; did you mean' in lines[4]
    assert lines[5] == '  recipe "other.yaml" has an error:'
    assert lines[6] == '  other.yaml:2: seed should be a whole number, not "x"'
    assert lines[7].startswith("hint: ")


def test_validate_finds_an_unknown_estimator(capsys) -> None:
    code, _, err = run(capsys, "validate", "cifar10-resnet20", "--set", "binarize.estimator=rest")
    assert code == 1
    assert 'there is no estimator "rest"; did you mean "reste"?' in err
    assert "--set binarize.estimator=rest:" in err


def test_schema(capsys) -> None:
    code, out, err = run(capsys, "schema")
    assert (code, json.loads(out)) == (0, json_schema())
    assert err.startswith("next: ")
    code, out, _ = run(capsys, "schema", "-o", "recipe.schema.json")
    assert (code, out) == (0, "")
    assert json.loads(Path("recipe.schema.json").read_text()) == json_schema()
