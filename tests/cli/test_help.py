"""Every command's help: it answers without torch and ends with two examples that can be typed."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest
import typer

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
    ("bench",),
    ("compare",),
    ("report",),
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
