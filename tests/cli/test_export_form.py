"""`binarize export --form` and `--classifier`: what is said, what is refused, what the recipe decides."""

from __future__ import annotations

import importlib
import json
import shutil

import pytest
from typed import run

from binarize.exporting.forms import FORMS
from binarize.kernels import installed

needs_kernels = pytest.mark.skipif(installed() is None, reason="needs the native kernels")


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(name, marks=[needs_kernels] if form.kernels else [])
        for name, form in FORMS.items()
    ],
)
def test_a_form_is_written_and_named(capsys, folder, trained, form: str) -> None:
    assert run("export", trained, "--onnx", "m.onnx", "--form", form, "--json") == 0
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert content["form"] == form
    assert err.splitlines()[0] == f"m.onnx: {form} ONNX, opset 20"
    assert run("eval", "m.onnx", "--json") == 0


def test_rounded_activations_are_not_called_exact(capsys, folder, trained) -> None:
    assert run("export", trained, "--onnx", "m.onnx", "--form", "int8") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("· max |diff|")
    assert "allowed" not in lines[2]
    assert lines[3].endswith("of the images (allowed 99.0 %)")
    assert lines[4] == (
        "· activations rounded to 8 bits, ranges from 256 training images of digits"
    )
    assert lines[5].startswith("· integer arithmetic pays off on CPUs with dot products of bytes")


def test_what_a_smaller_classifier_changes_is_said(capsys, folder, trained) -> None:
    assert run("export", trained, "--onnx", "m.onnx", "--classifier", "fp16") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[4].startswith("· classifier stored as fp16: moves logits by up to ")
    assert lines[2].startswith("✓")


@pytest.mark.parametrize(
    ("option", "error", "hint"),
    [
        ("--form", 'no form "x"', "take one of packed, inline, int8, native"),
        ("--classifier", 'no classifier "x"', "take one of float, fp16, int8, 1bit"),
    ],
)
def test_an_unknown_word_is_an_error(capsys, folder, trained, option, error, hint) -> None:
    assert run("export", trained, "--onnx", "m.onnx", option, "x") == 1
    assert capsys.readouterr().err == f"error: there is {error}\nhint: {hint}\n"
    assert not (folder / "m.onnx").exists()


def test_the_recipe_decides_where_the_command_says_nothing(capsys, folder, trained) -> None:
    copy = folder / "runs/copy"
    shutil.copytree(trained, copy, ignore=shutil.ignore_patterns("model.onnx"))
    recipe = copy / "recipe.resolved.yaml"
    text = recipe.read_text()
    assert "form: packed" in text
    text = text.replace("form: packed", "form: inline").replace(
        "classifier: float", "classifier: int8"
    )
    recipe.write_text(text)
    assert run("export", copy, "--onnx", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["form"], content["classifier"]) == ("inline", "int8")
    assert run("export", copy, "--onnx", "--form", "packed", "--json") == 0
    assert json.loads(capsys.readouterr().out)["form"] == "packed"


def test_a_trained_model_that_8_bits_change_is_refused(
    capsys, folder, trained, monkeypatch
) -> None:
    gate = importlib.import_module("binarize.exporting.validate")
    monkeypatch.setattr(gate, "AGREEMENT_8", 100.5)
    assert run("export", trained, "--onnx", "m.onnx", "--form", "int8") == 1
    err = capsys.readouterr().err
    assert "error: with activations of 8 bits the file names another class on " in err
    assert "hint: nothing was written; --form packed" in err
    assert not (folder / "m.onnx").exists()


@needs_kernels
def test_a_native_file_needs_the_kernels(capsys, folder, trained) -> None:
    assert run("export", trained, "--onnx", "m.onnx", "--form", "native") == 0
    assert "✓ loads in onnxruntime with the binarize kernels" in capsys.readouterr().out
    for command in ("eval", "bench"):
        assert run(command, "m.onnx", "--no-kernels") == 1
        assert capsys.readouterr().err.endswith(
            'error: "m.onnx" is of the form native, which needs the binarize kernels\n'
            "hint: omit --no-kernels where they are installed, or export the packed form\n"
        )


def test_without_kernels_no_native_file_is_written(capsys, folder, trained, monkeypatch) -> None:
    monkeypatch.setattr("binarize.kernels.installed", lambda: None)
    assert run("export", trained, "--onnx", "m.onnx", "--form", "native") == 1
    assert (
        "error: this installation of binarize has no native kernels\nhint: install a C++17 compiler"
        in (capsys.readouterr().err)
    )
    assert not (folder / "m.onnx").exists()
