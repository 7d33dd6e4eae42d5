"""Every command's help: it answers without torch and ends with two examples that can be typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest
import typer

from binarize.choices import SCALES
from binarize.cli import app

ALONE = [(name,) for name in app.COMMANDS]
NESTED = [(group, verb) for group, module in app.GROUPS.items() for verb in module.COMMANDS]
EVERY = [(), *ALONE, *((group,) for group in app.GROUPS), *NESTED]

HEAVY = {
    "torch",
    "torchvision",
    "timm",
    "onnx",
    "onnxruntime",
    "numpy",
    "accelerate",
    "sklearn",
    "rich",
    "pydantic",
}
ALL_HELPS = f"""
import sys
from binarize.cli.app import main
for command in {EVERY!r}:
    main([*command, "--help"])
    loaded = {HEAVY!r} & set(sys.modules)
    assert not loaded, (command, loaded)
"""

COMMANDS_OF_THE_ISSUE = {
    ("convert",),
    ("train",),
    ("export",),
    ("eval",),
    ("predict",),
    ("bench",),
    ("compare",),
    ("report",),
    ("sensitivity",),
    ("summary",),
    ("checks",),
    ("models", "ls"),
    ("estimators", "ls"),
    ("estimators", "plot"),
    *(("recipes", verb) for verb in ("ls", "show", "cp", "validate", "schema")),
}


def help_of(command, capsys):
    assert app.main([*command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_no_help_imports_anything_heavy():
    done = subprocess.run([sys.executable, "-c", ALL_HELPS], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_is_there():
    assert set(ALONE + NESTED) == COMMANDS_OF_THE_ISSUE


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_help_ends_with_two_examples_that_can_be_typed(command, capsys):
    text = help_of(command, capsys)
    after = text.partition("Examples:\n")[2].splitlines()
    shown = [line.strip() for line in after if line.startswith("    binarize ")]
    assert len(shown) == 2
    for example in shown:
        parse(example)


def parse(example):
    """Have the program parse `example` without running it."""
    command = typer.main.get_command(app.build())
    words = shlex.split(example, comments=True)
    assert words.pop(0) == "binarize"
    context = command.make_context("binarize", list(words))
    while hasattr(command, "commands"):
        name = words.pop(0)
        command = command.commands[name]
        context = command.make_context(name, list(words), parent=context)


@pytest.mark.parametrize("command", [*ALONE, *NESTED], ids=" ".join)
def test_every_command_takes_json(command, capsys):
    assert "--json" in help_of(command, capsys)


def test_the_program_names_its_traceback_switch(capsys):
    assert app.TRACEBACK in help_of((), capsys)


def test_version(capsys):
    import binarize

    assert app.main(["--version"]) == 0
    assert capsys.readouterr() == (f"binarize {binarize.__version__}\n", "")


def options_of(command):
    """The option names of a command, as click knows them."""
    found = typer.main.get_command(app.build())
    for name in command:
        found = found.commands[name]
    shown = [param for param in found.params if not getattr(param, "hidden", False)]
    return {name for param in shown for name in param.opts if name.startswith("--")}


def arguments_of(command):
    found = typer.main.get_command(app.build())
    for name in command:
        found = found.commands[name]
    return [param.metavar for param in found.params if param.param_type_name == "argument"]


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_help_at_80_columns_breaks_no_name(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = help_of(command, capsys)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line.rstrip().endswith("-")]  # broken at a hyphen
    for name in options_of(command):
        assert re.search(rf"^ .*{re.escape(name)}\b", text, re.MULTILINE), name


@pytest.mark.parametrize("command", [*ALONE, *NESTED], ids=" ".join)
def test_help_says_what_a_value_is_not_how_it_is_parsed(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = help_of(command, capsys)
    assert not re.search(r"TEXT|INTEGER|FLOAT\b|PATH|<\w|\[\[|\{", text)
    for metavar in arguments_of(command):
        assert re.search(rf"^  {re.escape(metavar)}  ", text, re.MULTILINE)


def test_the_help_of_scale_has_every_scale(capsys):
    of_scale = help_of(("convert",), capsys).partition("--scale")[2].partition("\n  --")[0]
    assert [name for name in SCALES if name not in of_scale] == []


def completed(words, shell="bash"):
    """What a shell offers after `description`, the last of which is being typed."""
    line = " ".join(words)
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "binarize"],
        env={**os.environ, **asked, "_BINARIZE_COMPLETE": f"complete_{shell}"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_a_shell_completes_commands_and_options():
    assert completed(["binarize", "tr"]) == ["train"]
    assert set(completed(["binarize", "convert", "--ca"])) == {
        "--calib-data",
        "--calib-images",
        "--calib-steps",
    }


@pytest.mark.skipif(os.name != "posix", reason="asks for a script of bash")
def test_completion_can_be_shown(monkeypatch, capsys):
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    assert app.main(["--show-completion"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "_BINARIZE_COMPLETE" in out
    assert "--install-completion" in help_of((), capsys)
